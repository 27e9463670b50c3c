# SPDX-License-Identifier: Apache-2.0
"""Whether the Triton kernel can be used here.

Triton comes with torch for CUDA, but it compiles the kernel on the machine that runs it, with that
machine's C compiler and driver. So where there is a GPU it is tried once, before a training hangs
on it.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os

import torch

from emformer.errors import RecipeError
from emformer.mutual_information import torch_tables

VARIABLE = "OMNI_RNNT_RECURSION"
OLDEST = 3  # the first to scan two tensors as one


def import_trouble() -> str:
    """Why Triton cannot be imported, in one line; empty if it can."""
    try:
        version = importlib.import_module("triton").__version__
    except (ImportError, OSError) as e:  # OSError: a library that the loader does not find
        return f"cannot import triton ({' '.join(str(e).split())})"
    if int(version.split(".")[0]) < OLDEST:
        return f"triton {version} is older than {OLDEST}.0"
    return ""


def trial_trouble(device: str) -> str:
    """Why the kernel does not make the tables that torch makes, in one line; empty if it does."""
    px = torch.tensor([[[-1.0, -2.0, -3.0]]], device=device)
    py = torch.tensor([[[-1.5, -0.5], [-2.5, -0.25]]], device=device)
    boundary = torch.tensor([[0, 0, 1, 2]], device=device)
    try:
        from emformer.mutual_information import triton_tables

        tables = triton_tables.make_tables(px, py, boundary, True)
    except Exception as e:  # whatever a compiler, a driver and their caches can raise
        reason = " ".join(str(e).split())[:200]
        return f"the Triton kernel does not run here ({type(e).__name__}: {reason})"
    if not torch.allclose(tables, torch_tables.make_tables(px, py, boundary, True), atol=1e-4):
        return "the Triton kernel computes something else than torch"
    return ""


@functools.cache
def why_no_triton() -> str:
    """Why the kernel is not used, in one line; empty if it is. Looks once a process.

    Without a GPU only the import is tried. ``OMNI_RNNT_RECURSION=torch`` is a reason, too.

    Raises:
      RecipeError: The variable says something else.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "torch"):
        raise RecipeError(f"{VARIABLE}={wanted}: must be torch, or unset for what is there")
    if wanted:
        return f"{VARIABLE}={wanted}"
    trouble = import_trouble()
    if not trouble and torch.cuda.is_available():
        trouble = trial_trouble("cuda")
        if trouble:  # slower than it could be, which should not pass unseen
            logging.warning(f"RNN-T recursion by torch operations: {trouble}")
    return trouble
