# SPDX-License-Identifier: Apache-2.0
"""Finds out before training whether its largest batches fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from typing import Any, Protocol

import torch
from lhotse import CutSet
from torch import nn

from emformer.config import TrainingConfig
from emformer.data.asr_datamodule import AsrDataModule
from emformer.data.cut_filter import CutFilter
from emformer.errors import RecipeError
from emformer.training.distributed import Processes
from emformer.training.loss import Batch
from emformer.training.method import TrainingMethod
from emformer.training.rng import get_rng_state, set_rng_state

# What torch and k2 say on a GPU and on a CPU; torch has no exception of its own for the latter.
_SIGNS = ("out of memory", "allocate memory", "not enough memory", "cudaErrorMemoryAllocation")


class Training(Protocol):
    """What a scan asks of a training, see :class:`emformer.training.trainer.Trainer`."""

    settings: TrainingConfig
    data: AsrDataModule
    cut_filter: CutFilter
    processes: Processes
    seed: int
    epoch: int
    update: int
    device: torch.device
    model: nn.Module
    inner: nn.Module
    optimizer: torch.optim.Optimizer
    method: TrainingMethod

    @property
    def total_updates(self) -> int: ...

    def make_batch(self, raw: dict[str, Any]) -> Batch: ...

    def autocast(self) -> AbstractContextManager: ...


def scan_for_out_of_memory(trainer: Training) -> None:
    """Run the method's passes over each of the batches most likely to need much memory.

    The passes are those of the next update and of the last one, since a method may begin with few.
    The batches are those of the epoch under way that lhotse finds pessimistic: with the longest
    cut, the most seconds, the most cuts. Forward and backward are run but no optimizer step, and
    weights, gradients, random numbers and the method's state are afterwards what they were. Not
    through DDP, since each rank has batches of its own.

    Raises:
      RecipeError: Memory ran out; it names the batch.
    """
    batches = _pessimistic_batches(trainer)
    dataset = trainer.data.train_dataset(trainer.seed, trainer.epoch)
    with _restoring(trainer), _optimizer_memory(trainer):
        trainer.inner.train()
        for cuts in batches:
            try:
                _forward_backward(trainer, dataset[cuts])
            except (RuntimeError, MemoryError) as e:
                if not _is_out_of_memory(e):
                    raise
                raise RecipeError(_describe(cuts, trainer.settings.max_duration)) from e
    logging.info(f"the {len(batches)} batches that need most memory fit {_peak(trainer.device)}")


def _pessimistic_batches(trainer: Training) -> list[CutSet]:
    # Imported here: lhotse_compat must have been imported before lhotse's samplers.
    from lhotse.dataset.sampling.utils import find_pessimistic_batches

    sampler = trainer.data.train_sampler(
        trainer.cut_filter,
        trainer.settings,
        trainer.seed,
        trainer.epoch,
        trainer.processes.rank,
        trainer.processes.world_size,
    )
    found, _ = find_pessimistic_batches(sampler)
    # One batch is often found for several reasons.
    return list({tuple(cuts.ids): cuts for cuts in found.values()}.values())


def _forward_backward(trainer: Training, raw: dict) -> None:
    batch = trainer.make_batch(raw)
    for update in (trainer.update, trainer.total_updates - 1):
        for which in trainer.method.passes(update):
            with trainer.autocast():
                loss, _ = trainer.method.loss(trainer.inner, batch, which, update)
            loss.backward()
        trainer.optimizer.zero_grad(set_to_none=True)


@contextmanager
def _restoring(trainer: Training) -> Iterator[None]:
    """Puts back what a method's passes may change: weights, random numbers, gradients and so on."""
    rng = get_rng_state()
    # On the CPU, where they take none of the memory that is being tried.
    weights = [(p, p.detach().cpu().clone()) for p in trainer.inner.parameters()]
    method = deepcopy(trainer.method.state_dict())
    buffers = {name: value.clone() for name, value in trainer.inner.named_buffers()}
    try:
        yield
    finally:
        trainer.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for parameter, value in weights:
                parameter.copy_(value)
        for name, value in trainer.inner.named_buffers():
            value.copy_(buffers[name])
        trainer.method.load_state_dict(method)
        set_rng_state(rng)


@contextmanager
def _optimizer_memory(trainer: Training) -> Iterator[None]:
    """Holds as much memory as AdamW's two moments, the most that an optimizer of ours keeps."""
    held = []
    if not trainer.optimizer.state:
        held = [torch.empty_like(p) for p in trainer.model.parameters() for _ in range(2)]
    yield
    del held


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS)


def _describe(cuts: CutSet, max_duration: float) -> str:
    longest = max(cut.duration for cut in cuts)
    return (
        f"out of memory in a batch of {len(cuts)} cuts, the longest of {longest:.1f} s; lower "
        f"training.max_duration (--max-duration), now {max_duration:g} s"
    )


def _peak(device: torch.device) -> str:
    if device.type != "cuda":
        return "into memory"
    peak = torch.cuda.max_memory_allocated(device) / 2**30
    total = torch.cuda.get_device_properties(device).total_memory / 2**30
    torch.cuda.empty_cache()
    return f"into memory ({peak:.1f} of {total:.1f} GiB)"
