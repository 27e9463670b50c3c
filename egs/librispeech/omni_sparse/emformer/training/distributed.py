# SPDX-License-Identifier: Apache-2.0
"""The processes of a run under torchrun; one process without it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from emformer.errors import RecipeError


@dataclass(frozen=True)
class Processes:
    """This process's place among those of the run."""

    rank: int
    local_rank: int
    world_size: int

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Element-wise sum over all ranks (called by all of them)."""
        if self.world_size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=_device_of_backend())
        dist.all_reduce(total)
        return total.tolist()

    def of_mean(self, value: float) -> Tensor | float:
        """The value as a multiple of its mean over all ranks (called by all of them).

        A scalar on the device where there are several: nothing waits for it.
        """
        if self.world_size == 1:
            return 1.0
        total = torch.tensor(value, dtype=torch.float64, device=_device_of_backend())
        dist.all_reduce(total)
        return (value * self.world_size / total).float()

    def barrier(self) -> None:
        if self.world_size > 1:
            dist.barrier()

    def stop(self) -> None:
        """Leave the process group, at the end of a run (called by all ranks)."""
        if self.world_size > 1:
            dist.destroy_process_group()


def start_processes() -> Processes:
    """Join the process group that torchrun's environment variables name, if any."""
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    rank, local_rank = int(os.environ.get("RANK", 0)), int(os.environ.get("LOCAL_RANK", 0))
    if world_size > 1:
        use_gpu = torch.cuda.is_available()
        if use_gpu and torch.cuda.device_count() <= local_rank:
            raise RecipeError(
                f"--world-size {world_size} needs as many GPUs, {torch.cuda.device_count()} seen"
            )
        dist.init_process_group("nccl" if use_gpu else "gloo")
    return Processes(rank, local_rank, world_size)


def pick_device(processes: Processes) -> torch.device:
    """This process's GPU, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(processes.local_rank)
    return torch.device("cuda", processes.local_rank)


def _device_of_backend() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
