# SPDX-License-Identifier: Apache-2.0
"""Two processes on one CPU, as torchrun starts them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.processes import run_module

#: Mark of tests whose trainer takes a GPU where there is one.
without_gpu = pytest.mark.skipif(
    torch.cuda.is_available(), reason="with GPUs, each process wants one of its own"
)


def torchrun(module: str, *words: object) -> None:
    """Run a module in two processes; fails with what they said where one of them does."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    run_module(*launcher, "-m", module, *words, OMP_NUM_THREADS="1")


def read_ranks(out: Path) -> list[dict]:
    """What each rank left in ``rank-<number>.pt``."""
    return [torch.load(out / f"rank-{rank}.pt") for rank in (0, 1)]
