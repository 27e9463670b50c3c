# SPDX-License-Identifier: Apache-2.0
"""How many epochs fit into some time of a GPU, from the time of an update measured there.

Usage (from the recipe's folder, after benchmarks/supernet_step.py wrote its table to a log):
  python3 benchmarks/gpu/plan.py --step-log log/step.log --corpus synthetic --data-dir data \\
    --max-duration 240 --seconds 240 --trainings 7

Prints the number. Trainings that share the GPU are taken to need as long as one after another.
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

from emformer.data.asr_datamodule import AsrDataModule
from emformer.errors import RecipeError, run_main
from emformer.options import Parser

_MOST = 24  # epochs; more than any result of ours had


def dense_seconds(log: Path) -> float:
    """Seconds of a dense update, from the first table that supernet_step.py wrote.

    Raises:
      RecipeError: There is none.
    """
    found = re.search(r"^dense +([0-9.]+) +1\.000 ", log.read_text(encoding="utf-8"), re.M)
    if found is None:
        raise RecipeError(f"{log}: no table of benchmarks/supernet_step.py is in it")
    return float(found[1])


def epochs_in(seconds: float, update: float, updates: int, trainings: float) -> int:
    """Epochs that fit: at least one, at most :data:`_MOST`.

    Args:
      seconds: There are.
      update: Seconds of a dense one.
      updates: Of an epoch.
      trainings: Of as many updates as a dense one.
    """
    fit = seconds / (trainings * update * updates)
    return min(_MOST, max(1, math.floor(fit)))


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--step-log", type=Path, required=True, help="what supernet_step.py wrote")
    AsrDataModule.add_arguments(parser)
    parser.add_argument("--max-duration", type=float, required=True, help="seconds of a batch")
    parser.add_argument("--seconds", type=float, required=True, help="of training there are")
    parser.add_argument("--trainings", type=float, required=True, help="in dense ones")
    args: argparse.Namespace = parser.parse_args()
    speech = sum(cut.duration for cut in AsrDataModule.from_args(args).train_cuts())
    updates = math.ceil(speech / args.max_duration)
    print(epochs_in(args.seconds, dense_seconds(args.step_log), updates, args.trainings))


if __name__ == "__main__":
    run_main(main)
