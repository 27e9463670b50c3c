# SPDX-License-Identifier: Apache-2.0
"""run.sh as the tests call it, and what it said."""

import os
import re
import subprocess
import sys

from tests.support.processes import RECIPE

BASH = "/bin/bash" if os.path.exists("/bin/bash") else "bash"


def run_sh(*words: str, cwd=RECIPE, **environment) -> subprocess.CompletedProcess:
    """run.sh with this Python, so that nothing is installed."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMNI_SET", "PYTHONPATH")}
    env.update(OMNI_PYTHON=sys.executable, PYTHONDONTWRITEBYTECODE="1")
    env.update(environment)
    script = os.path.relpath(RECIPE / "run.sh", cwd)
    return subprocess.run(
        [BASH, script, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True,
        check=False, timeout=300,  # what is not refused would train
    )  # fmt: skip


def only_line(done: subprocess.CompletedProcess, status: int) -> str:
    """The one line on stderr of a run that ended with ``status``."""
    assert done.returncode == status, (done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    return lines[0]


def commands(done: subprocess.CompletedProcess) -> list[str]:
    """What a dry run would run."""
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]


def modules(done: subprocess.CompletedProcess) -> list[str]:
    """The recipe's own modules among them."""
    return re.findall(r"-m ((?:local|emformer|omni_emformer)\.\w+)", "\n".join(commands(done)))


def dry(*words, **options) -> subprocess.CompletedProcess:
    """run.sh that only prints what it would run."""
    return run_sh("--dry-run", "true", *words, **options)


def stage(number, *words, **options) -> list[str]:
    """Commands of a stage alone."""
    return commands(dry("--stage", number, "--stop-stage", number, *words, **options))
