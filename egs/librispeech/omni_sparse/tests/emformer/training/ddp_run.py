# SPDX-License-Identifier: Apache-2.0
"""Trains under torchrun and writes what each rank saw and has in the end; see test_ddp.py.

Usage: torchrun ... -m tests.emformer.training.ddp_run OUT RANK:UPDATE|none \\
  <options of emformer.train>
"""

import math
import sys
from pathlib import Path

import torch

from emformer.train import get_parser, make_trainer
from emformer.training.distributed import start_processes
from emformer.training.method import TrainingMethod


def main() -> None:
    out, broken = Path(sys.argv[1]), sys.argv[2]
    args = get_parser().parse_args(sys.argv[3:])
    processes = start_processes()
    seen, weights = [], []

    class Recording(TrainingMethod):
        def loss(self, model, batch, which, update):
            loss, info = super().loss(model, batch, which, update)
            if not model.training:
                return loss, info
            seen.append(float(batch.features.double().sum()))
            weights.append(next(model.parameters()).detach().clone())
            if broken == f"{processes.rank}:{update}":
                loss = loss * math.nan
            return loss, info

    trainer = make_trainer(args, processes, Recording)
    trainer.augment = lambda features, lens: features
    trainer.fit()
    content = {"model": trainer.model.state_dict(), "seen": torch.tensor(seen), "weights": weights}
    content.update(update=trainer.update, skipped=trainer.skipped)
    torch.save(content, out / f"rank-{processes.rank}.pt")


if __name__ == "__main__":
    main()
