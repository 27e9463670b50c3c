# SPDX-License-Identifier: Apache-2.0
"""Pruned RNN-T losses from k2, or from fast_rnnt where there is no k2.

fast_rnnt is the k2 authors' package with the loss alone; both compute the same numbers. This is the
only module that imports either. The environment variable ``OMNI_RNNT_BACKEND`` (``k2`` or
``fast_rnnt``) forces one. If there is none, importing this module still works, and the first use of
a loss raises :class:`~emformer.errors.RecipeError`.

Where neither was compiled with CUDA, the recursion of CUDA tensors is
:mod:`emformer.mutual_information`'s.

One difference to know of: k2 asks for at least as many frames as symbols in every utterance,
fast_rnnt takes any.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType

from torch import Tensor

from emformer.errors import RecipeError
from emformer.mutual_information.recursion import mutual_information_recursion
from emformer.mutual_information.triton_check import why_no_triton

NAMES = ("k2", "fast_rnnt")
FUNCTIONS = (
    "rnnt_loss_smoothed",
    "get_rnnt_prune_ranges",
    "do_rnnt_pruning",
    "rnnt_loss_pruned",
)
REMEDY = "run ./install.sh, then source path.sh"


def choose_backend(forced: str = "") -> tuple[ModuleType | None, str]:
    """Import the first backend that can be imported, or the forced one.

    Returns:
      The module and an empty text; or None and the one line that says why there is none.
    """
    if forced and forced not in NAMES:
        return None, f"OMNI_RNNT_BACKEND={forced}: must be {' or '.join(NAMES)}"
    reasons = []
    for name in [forced] if forced else NAMES:
        try:
            return importlib.import_module(name), ""
        except (ImportError, OSError) as e:  # OSError: a library that the loader does not find
            reasons.append(f"cannot import {name} ({' '.join(str(e).split())})")
    return None, f"{', '.join(reasons)}; {REMEDY}"


def has_cuda_code(module: ModuleType) -> bool:
    """Whether k2 or fast_rnnt was compiled with CUDA."""
    answer = module.with_cuda  # a value in k2, a function in fast_rnnt
    return bool(answer() if callable(answer) else answer)


def recursion_by_device(compiled: Callable) -> Callable:
    """A ``mutual_information_recursion`` that takes tensors of any device.

    It is the only part of the losses that needs compiled CUDA code.

    Args:
      compiled: The library's own, which computes CPU tensors as before.
    """

    def recursion(
        px: Tensor, py: Tensor, boundary: Tensor | None = None, return_grad: bool = False
    ):
        chosen = compiled if px.device.type == "cpu" else mutual_information_recursion
        return chosen(px, py, boundary=boundary, return_grad=return_grad)

    return recursion


def checked_on_cpu(check: Callable) -> Callable:
    """fast_rnnt's check of lengths, for lengths on the CPU only: three times a pass, the host would
    wait for a GPU to tell that training texts have a symbol."""

    def checked(S: int, T: int, regular: bool, boundary: Tensor | None = None) -> None:
        if boundary is None or boundary.device.type == "cpu":
            check(S, T, regular, boundary)

    return checked


def recursion_on_gpu(module: ModuleType | None = None) -> tuple[str, str]:
    """What the recursion of CUDA tensors is computed by; needs no GPU to be asked.

    Args:
      module: k2 or fast_rnnt; default: the backend in use.

    Returns:
      ``k2`` or ``fast_rnnt`` (its own CUDA code), ``triton`` or ``torch``; and why it is not one
      of those before it, in one line.
    """
    module = module or _module
    if module is None:
        return "none", _reason
    if has_cuda_code(module):
        return module.__name__, ""
    reason = f"{module.__name__} was compiled without CUDA"
    no_triton = why_no_triton()
    return ("torch", f"{reason}, {no_triton}") if no_triton else ("triton", reason)


def _missing(name: str, reason: str) -> Callable:
    """A stand-in for function ``name`` that tells why it is missing."""

    def raise_error(*args, **kwargs):
        raise RecipeError(f"{name}: {reason}")

    return raise_error


def require_k2() -> ModuleType:
    """Return k2, for what fast_rnnt does not have (FSAs, decoding graphs).

    Raises:
      RecipeError: k2 cannot be imported.
    """
    module, reason = choose_backend("k2")
    if module is None:
        raise RecipeError(f"this needs k2: {reason}")
    return module


_module, _reason = choose_backend(os.environ.get("OMNI_RNNT_BACKEND", ""))
NAME = None if _module is None else _module.__name__

if _module is not None:
    # `rnnt_loss` of either package is a function that hides the module of that name.
    _losses = importlib.import_module(f"{NAME}.rnnt_loss")
    if not has_cuda_code(_module):
        _recursion = _losses.mutual_information_recursion
        _losses.mutual_information_recursion = recursion_by_device(_recursion)
    if hasattr(_losses, "validate_st_lengths"):
        _losses.validate_st_lengths = checked_on_cpu(_losses.validate_st_lengths)

rnnt_loss_smoothed, get_rnnt_prune_ranges, do_rnnt_pruning, rnnt_loss_pruned = (
    _missing(name, _reason) if _module is None else getattr(_module, name) for name in FUNCTIONS
)
