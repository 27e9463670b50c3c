# SPDX-License-Identifier: Apache-2.0
"""Check the Python environment (stage -1): say what is there and try the parts that matter.

If something is missing, the last line says how to mend it, and the exit status is 1. Works in an
environment that has nothing installed.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
from importlib import metadata
from pathlib import Path

from emformer.errors import RecipeError, run_main

# Modules and the names under which a package index has them.
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "lhotse": "lhotse",
    "sentencepiece": "sentencepiece",
    "kaldialign": "kaldialign",
    "soundfile": "soundfile",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
    "torch.utils.tensorboard": "tensorboard",
}
# Modules that some step wants, and what goes on without them.
OPTIONAL = {
    "lilcom": "features are stored as plain numpy arrays",
    "kaldi_native_fbank": "no transcription with sherpa-onnx's features",
    "matplotlib": "no plots",
    "onnx": "no ONNX export",
    "onnxruntime": "no ONNX export",
    "sherpa_onnx": "exported models are not tried in sherpa-onnx",
    "optuna": "no search over sparsity levels",
    "pytest": "no tests",
    "ruff": "no tests",
}


def version_of(module: str, package: str) -> str:
    """The version that the package's metadata state; for k2 built from source, its own."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        loaded = sys.modules.get(module)
        for name in ("__version__", "__dev_version__"):
            if hasattr(loaded, name):
                return str(getattr(loaded, name))
    return "version unknown"


def import_error(module: str) -> str:
    """Import ``module``; return why that failed, in one line, or an empty text."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as e:
        return " ".join(str(e).split())
    return ""


def show(name: str, text: str) -> None:
    print(f"{name:<20} {text}", flush=True)


def remedy(chosen_set: str, packages: list[str]) -> str:
    """How to get what is missing: repair our own environment, or add to the user's."""
    install = f"./install.sh --set {chosen_set}"
    if (Path(sys.prefix) / ".omni_sparse").exists():
        return f"run {install} --force"
    line = f"run {install} for an environment that has everything"
    if packages:
        line += f", or '{sys.executable} -m pip install {' '.join(packages)}'"
    return line


def check_needed(chosen_set: str) -> None:
    """Import what every step needs.

    Raises:
      RecipeError: Something cannot be imported.
    """
    missing = {}
    for module, package in NEEDED.items():
        reason = import_error(module)
        if reason:
            missing[package] = reason
            show(package, f"MISSING: {reason}")
        elif module != "torch":  # it has a line of its own
            show(package, version_of(module, package))
    if missing:
        raise RecipeError(
            f"{sys.executable} cannot import {', '.join(missing)}: "
            f"{remedy(chosen_set, list(missing))}"
        )


def check_torch() -> list[str]:
    """Show torch and the GPUs; return the devices to try: "cpu" and each GPU's name.

    Raises:
      RecipeError: This torch has no code for a GPU of this machine.
    """
    import torch

    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    show("torch", f"{torch.__version__}, {cuda}, {torch.get_num_threads()} threads")
    devices = ["cpu"]
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        major, minor = torch.cuda.get_device_capability(index)
        show(f"GPU {index}", f"{name}, compute capability {major}.{minor}")
        if not runs_on(torch.cuda.get_arch_list(), major, minor):
            raise RecipeError(
                f"torch {torch.__version__} has no code for {name} (compute capability "
                f"{major}.{minor}): run ./install.sh --set current (or, with CUDA_VISIBLE_DEVICES= "
                "in the environment, everything on the CPU)"
            )
        devices.append(f"cuda:{index}")
    if len(devices) == 1:
        show("GPU", "none, everything runs on the CPU")
    return devices


def runs_on(arch_list: list[str], major: int, minor: int) -> bool:
    """Whether code for ``arch_list`` (e.g. ``["sm_80", "compute_86"]``) runs on a GPU.

    Machine code (sm) runs on its own major version from its minor version on; intermediate code
    (compute) runs on everything newer.
    """
    for arch in arch_list:
        kind, _, number = arch.partition("_")
        number = int("".join(c for c in number if c.isdigit()))  # sm_90a
        arch_major, arch_minor = divmod(number, 10)
        if kind == "sm" and arch_major == major and arch_minor <= minor:
            return True
        if kind == "compute" and (arch_major, arch_minor) <= (major, minor):
            return True
    return False


def check_loss(chosen_set: str | None, devices: list[str]) -> None:
    """Compute a pruned loss of known value with the chosen backend on every device.

    Raises:
      RecipeError: There is no backend, not the one of the set, or it computes something else.
    """
    from emformer import rnnt_backend

    if rnnt_backend.NAME is None or chosen_set == "k2":
        rnnt_backend.require_k2()
    name = rnnt_backend.NAME
    for device in devices:
        loss = uniform_loss(device)
        # 4 frames and 2 symbols: choose(5, 2) ways to place the symbols before the final blank,
        # each of 6 steps, a step one of 5 equally likely tokens.
        expected = 6.0 * 1.6094379 - 2.3025851
        if abs(loss - expected) > 1e-3:
            raise RecipeError(
                f"{name} on {device} computes an RNN-T loss of {loss:.4f} where {expected:.4f} is "
                f"right: {remedy(chosen_set or 'k2', [])}"
            )
    show("RNN-T loss", f"{name} {version_of(name, name)}, right on {', '.join(devices)}")
    show("its recursion", describe_recursion(*rnnt_backend.recursion_on_gpu()))


def describe_recursion(name: str, reason: str) -> str:
    """What computes the loss's recursion of tensors on a GPU, whether or not there is one here."""
    ways = {"triton": "a Triton kernel", "torch": "torch operations"}
    return f"on a GPU by {ways.get(name, f'the CUDA code of {name}')}" + (reason and f" ({reason})")


def uniform_loss(device: str) -> float:
    """The pruned loss of 4 frames and 2 symbols where all of 5 tokens are equally likely."""
    import torch

    from emformer import rnnt_backend

    symbols = torch.tensor([[1, 2]], device=device)
    boundary = torch.tensor([[0, 0, 2, 4]], device=device)
    am = torch.zeros(1, 4, 5, device=device, requires_grad=True)
    lm = torch.zeros(1, 3, 5, device=device, requires_grad=True)
    _, (px_grad, py_grad) = rnnt_backend.rnnt_loss_smoothed(
        lm=lm, am=am, symbols=symbols, termination_symbol=0, boundary=boundary, return_grad=True
    )
    ranges = rnnt_backend.get_rnnt_prune_ranges(px_grad, py_grad, boundary, s_range=3)
    am_pruned, lm_pruned = rnnt_backend.do_rnnt_pruning(am, lm, ranges)
    loss = rnnt_backend.rnnt_loss_pruned(
        am_pruned + lm_pruned, symbols, ranges, termination_symbol=0, boundary=boundary
    )
    loss.backward()
    return loss.item()


def check_parts() -> None:
    """Show which of the interchangeable parts are used, and what some step will miss."""
    from emformer.data.features import has_kaldifeat
    from emformer.encoder import emformer_class

    kaldifeat = f"kaldifeat {version_of('kaldifeat', 'kaldifeat')}" if has_kaldifeat() else ""
    show("features", kaldifeat or "lhotse's Fbank, the same to 1e-3 (there is no kaldifeat)")
    whole = emformer_class().__module__ == "torchaudio.models.emformer"
    part = "" if whole else ", models/emformer.py alone (the rest does not fit this torch)"
    show("Emformer", f"torchaudio {version_of('torchaudio', 'torchaudio')}{part}")
    from local.synthetic.espeak import Espeak

    try:
        show("espeak-ng", f"speaks at {Espeak().sampling_rate} Hz")
    except RecipeError as e:
        show("espeak-ng", f"not there, so no synthetic corpus ({e})")
    for module, without in OPTIONAL.items():
        reason = import_error(module)
        version = version_of(module, module.replace("_", "-"))
        show(module, f"not there: {without}" if reason else version)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--set", choices=["k2", "current"], help="insist on what this set has (k2: the real k2)"
    )
    args = parser.parse_args()

    show("python", f"{platform.python_version()}, {sys.executable}")
    check_needed(args.set or "k2")
    devices = check_torch()
    check_loss(args.set, devices)
    check_parts()


if __name__ == "__main__":
    sys.exit(run_main(main))
