# SPDX-License-Identifier: Apache-2.0
"""What an experiment's folder tells about how it was made."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

import yaml

from emformer.config import Config
from emformer.experiment.revision import git_revision
from emformer.experiment.whole_file import write_whole

# Which matrix kernels run, and so the last bits of every sum (path.sh tells of the first).
_KERNEL_CHOICES = (
    "MKL_DEBUG_CPU_TYPE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY",
)  # fmt: skip

_PACKAGES = (
    "torch", "torchaudio", "k2", "fast_rnnt", "lhotse", "kaldifeat", "sentencepiece", "numpy",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def cpu_name() -> str:
    """The processor's name as its maker gives it, else the kind of machine."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe_experiment(exp_dir: Path, config: Config) -> None:
    """Write ``config.yaml``, ``environment.json`` and ``run.sh``, the command that made it all."""
    exp_dir.mkdir(parents=True, exist_ok=True)
    (exp_dir / "config.yaml").write_text(yaml.safe_dump(config.to_dict(), sort_keys=False))
    chosen = {name: os.environ[name] for name in _KERNEL_CHOICES if name in os.environ}
    machine = {"CPU": cpu_name(), **chosen}
    environment = {"git_revision": git_revision(), **package_versions(), **machine}
    (exp_dir / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")
    words = [sys.executable, *_launcher(), "-m", _module_name(), *sys.argv[1:]]
    lines = [
        "#!/usr/bin/env bash",
        f"cd {shlex.quote(os.getcwd())}",
        f"export PYTHONPATH={shlex.quote(os.environ.get('PYTHONPATH', ''))}",
        *(f"export {name}={shlex.quote(value)}" for name, value in chosen.items()),
        " ".join(shlex.quote(word) for word in words),
    ]
    # Renamed into place, since the file may be what bash is reading just now.
    write_whole(exp_dir / "run.sh", "\n".join(lines) + "\n")


def read_environment(exp_dir: Path) -> dict[str, str]:
    """``git_revision``, versions and processor of what trained; empty where nothing tells them."""
    try:
        found = json.loads((exp_dir / "environment.json").read_text())
        return {name: str(value) for name, value in found.items() if value is not None}
    except (OSError, ValueError, AttributeError):
        return {}


def training_command(exp_dir: Path) -> list[str]:
    """The last line of run.sh, with ``python3`` for the path of an interpreter; none without it."""
    try:
        words = shlex.split((exp_dir / "run.sh").read_text().splitlines()[-1])
    except (OSError, IndexError, ValueError):
        return []
    if words and Path(words[0]).name.startswith("python"):
        words[0] = "python3"
    return [shlex.join(words)]


def _launcher() -> list[str]:
    """torchrun as this process was started by it, or nothing."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return []
    number = os.environ["LOCAL_WORLD_SIZE"]
    return ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", number]


def _module_name() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else "emformer.train"
