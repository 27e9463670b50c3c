# SPDX-License-Identifier: Apache-2.0
"""Pruned RNN-T losses from k2, or from fast_rnnt where there is no k2.

fast_rnnt is the k2 authors' package with the loss alone; both compute the same numbers. This is the
only module that imports either. The environment variable ``OMNI_RNNT_BACKEND`` (``k2`` or
``fast_rnnt``) forces one. If there is none, importing this module still works, and the first use of
a loss raises :class:`~emformer.errors.RecipeError`.

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


def recursion_on_cpu(recursion: Callable) -> Callable:
    """Make fast_rnnt's ``mutual_information_recursion`` take CUDA tensors by way of the CPU.

    It is the only part that needs compiled CUDA code, for which fast_rnnt must be built with a CUDA
    toolkit. Its tensors of shape ``(B, S, T + 1)`` are small beside the joiner's
    ``(B, T, prune_range, V)``, so copying them costs little. Gradients flow through the copies.
    """

    def wrapped(px: Tensor, py: Tensor, boundary: Tensor | None = None, return_grad: bool = False):
        device = px.device
        boundary = None if boundary is None else boundary.cpu()
        out = recursion(px.cpu(), py.cpu(), boundary=boundary, return_grad=return_grad)
        if not return_grad:
            return out.to(device)
        scores, (px_grad, py_grad) = out
        return scores.to(device), (px_grad.to(device), py_grad.to(device))

    return wrapped


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

if NAME == "fast_rnnt" and not _module.with_cuda():
    # `fast_rnnt.rnnt_loss` is a function that hides the module of that name.
    _losses = importlib.import_module("fast_rnnt.rnnt_loss")
    _losses.mutual_information_recursion = recursion_on_cpu(_losses.mutual_information_recursion)

rnnt_loss_smoothed, get_rnnt_prune_ranges, do_rnnt_pruning, rnnt_loss_pruned = (
    _missing(name, _reason) if _module is None else getattr(_module, name) for name in FUNCTIONS
)
