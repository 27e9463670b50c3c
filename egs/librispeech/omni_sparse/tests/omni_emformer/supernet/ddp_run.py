# SPDX-License-Identifier: Apache-2.0
"""Trains supernets under torchrun and writes what each rank drew and has; see test_ddp.py.

Usage: torchrun ... -m tests.omni_emformer.supernet.ddp_run OUT \\
  <options of emformer.train, whose --exp-dir is replaced by a folder in OUT a way>
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import torch

from emformer.train import get_parser, make_trainer
from emformer.training.distributed import start_processes
from omni_emformer.supernet.method import OmniMethod
from tests.support.supernets import SANDWICH, settings
from tests.support.training import outcome

# Before the ramp starts there is nothing to draw; so it starts at once.
AT_ONCE = {"ramp": {"name": "linear", "start": 0.0, "end": 0.1}}
WAYS = {
    "single": {"sampler": {"name": "single"}, **AT_ONCE},
    "per-rank": {"sampler": {"name": "per-rank"}, **AT_ONCE},
    "split": {"sampler": {"name": "split"}, **AT_ONCE},
    "sandwich": {**SANDWICH, **AT_ONCE},
    "grow": {**AT_ONCE, "grow_from": 0.5, "shrink": 0.5},
}


def main() -> None:
    out = Path(sys.argv[1])
    processes = start_processes()
    content = {}
    for name, changes in WAYS.items():
        words = [*sys.argv[2:], "--exp-dir", str(out / name)]
        args = get_parser().parse_args(words)
        drawn: list[list] = []

        class Recording(OmniMethod):
            def passes(self, update, drawn=drawn):
                passes = super().passes(update)
                drawn.append([list(one.subnet.levels) for one in passes])
                return passes

        method = functools.partial(
            Recording, sparsity=settings(**changes), seed=args.seed, rank=processes.rank
        )
        trainer = make_trainer(args, processes, method)
        trainer.fit()
        content[name] = {
            "drawn": drawn,
            **outcome(trainer),
            "ranks": trainer.method.state_dict()["ranks"],
        }
    torch.save(content, out / f"rank-{processes.rank}.pt")
    processes.stop()


if __name__ == "__main__":
    main()
