# SPDX-License-Identifier: Apache-2.0
"""A few updates on batches that the processes share out; see test_whole_batch.py.

Usage: torchrun ... -m tests.omni_emformer.supernet.whole_batch_run OUT \\
  <options of emformer.train, whose --exp-dir is replaced by a folder in OUT a way>
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from emformer.train import get_parser, make_trainer
from emformer.training.distributed import Processes, start_processes
from emformer.training.loss import Batch
from emformer.training.method import TrainingMethod
from emformer.training.progress import LossMeter
from emformer.training.trainer import Trainer
from tests.support.supernets import SANDWICH, method

UPDATES = 4
AT_ONCE = {"ramp": {"name": "linear", "start": 0.0, "end": 0.1}}
WAYS = {
    "dense": TrainingMethod,
    "single": method(sampler={"name": "single"}, **AT_ONCE),
    "split": method(sampler={"name": "split"}, **AT_ONCE),
    "sandwich": method(**{**SANDWICH, "distillation": {"start": 0.0}}, **AT_ONCE),
}


def share(batch: Batch, processes: Processes) -> Batch:
    """A process's utterances of a batch: 2 or 4 and so on, which ``split`` halves again."""
    each = len(batch.feature_lens) // 4 * 4 // processes.world_size
    own = slice(processes.rank * each, (processes.rank + 1) * each)
    lens, symbol_lens = batch.feature_lens[own], batch.symbol_lens[own]
    features = batch.features[own, : int(lens.max())]
    return Batch(features, lens, batch.symbols[own, : int(symbol_lens.max())], symbol_lens)


def train(words: list[str], processes: Processes, way: str) -> dict[str, dict[str, Tensor]]:
    """Weights at the start and after some updates on a process's share of each batch."""
    args = get_parser().parse_args(words)
    # Two processes have half as many batches, but schedules are to be the same.
    with mock.patch.object(Trainer, "_count_batches", return_value=UPDATES):
        trainer = make_trainer(args, processes, WAYS[way])
    for group in trainer.optimizer.param_groups:
        # With Adam's own, a gradient that is rounding alone moves a weight as far as any other.
        group["eps"] = 1.0
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    loader = trainer.data.train_dataloader(trainer.cut_filter, trainer.settings, 0, 1)
    batches = (trainer.make_batch(raw, augment=False) for raw in loader)
    large = [batch for batch in batches if len(batch.feature_lens) >= 4][:UPDATES]
    assert len(large) == UPDATES
    trainer.wrapped.train()
    for batch in large:
        trainer.train_step(share(batch, processes), LossMeter())
        trainer.update += 1
    assert not trainer.skipped
    return {"start": start, "end": trainer.model.state_dict()}


def main() -> None:
    out = Path(sys.argv[1])
    processes = start_processes()
    content = {
        way: train([*sys.argv[2:], "--exp-dir", str(out / way)], processes, way) for way in WAYS
    }
    torch.save(content, out / f"rank-{processes.rank}.pt")
    processes.stop()


if __name__ == "__main__":
    main()
