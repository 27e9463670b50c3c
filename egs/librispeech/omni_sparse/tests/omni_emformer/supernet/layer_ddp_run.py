# SPDX-License-Identifier: Apache-2.0
"""Trains layer selections under torchrun and writes what each rank has; see test_layer_ddp.py.

Usage: torchrun ... -m tests.omni_emformer.supernet.layer_ddp_run OUT \\
  <options of emformer.train, whose --exp-dir is replaced by a folder in OUT a way>
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from emformer.train import get_parser, make_trainer
from emformer.training.distributed import start_processes
from tests.support.layer_trainings import method
from tests.support.training import outcome

#: With four sizes one of the middle ones is drawn.
WAYS = {"simple_top_k": [1, 2, 3], "iterative_zero_out": [1, 2], "combined": [1, 2]}


def main() -> None:
    out = Path(sys.argv[1])
    processes = start_processes()
    content = {}
    for way, sizes in WAYS.items():
        args = get_parser().parse_args([*sys.argv[2:], "--exp-dir", str(out / way)])
        trainer = make_trainer(args, processes, method(way, sizes=sizes))
        trainer.fit()
        content[way] = {
            **outcome(trainer),
            "layers": trainer.method.state_dict()["layers"],
        }
    torch.save(content, out / f"rank-{processes.rank}.pt")
    processes.stop()


if __name__ == "__main__":
    main()
