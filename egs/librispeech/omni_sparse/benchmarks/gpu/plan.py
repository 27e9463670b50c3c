# SPDX-License-Identifier: Apache-2.0
"""How many epochs of trainings side by side fit into some time of a GPU.

Usage (from the recipe's folder):
  python3 benchmarks/step_profile.py --device cuda --kinds dense | python3 benchmarks/gpu/plan.py \\
    --corpus synthetic --data-dir data --max-duration 60 --seconds 240 --trainings 6.3 --longest 1.5

Reads what an update takes from the standard input, and prints the number.
"""

from __future__ import annotations

import argparse
import math
import re
import sys

from emformer.data.asr_datamodule import AsrDataModule
from emformer.errors import RecipeError, run_main
from emformer.options import Parser

_MOST = 24  # epochs; more than any result of ours had
# An update takes longer than it does alone and without data: one of 35 ms took 62 beside five
# others (results/gpu/H200.md).
_MARGIN = 2.0


def dense_update(profile: str) -> tuple[float, float]:
    """Seconds of a dense update, and those of it in which the GPU computes.

    Args:
      profile: What step_profile.py printed.

    Raises:
      RecipeError: It is no such table, or nothing ran on a GPU.
    """
    found = re.search(r"^dense +[1-9][0-9]* +([0-9.]+) +([0-9.]+) ", profile, re.M)
    if found is None:
        raise RecipeError("the input has no table of benchmarks/step_profile.py with a GPU's time")
    return float(found[2]) / 1e3, float(found[1]) / 1e3


def epochs_in(
    seconds: float, update: float, busy: float, updates: int, trainings: float, longest: float
) -> int:
    """Epochs that fit: at least one, at most :data:`_MOST`.

    Args:
      seconds: There are.
      update, busy: What :func:`dense_update` gives.
      updates: Of an epoch.
      trainings: Of as many updates as a dense one; the GPU's work.
      longest: Those of them that must wait for one another.
    """
    epoch = updates * max(longest * update, trainings * busy) * _MARGIN
    return min(_MOST, max(1, math.floor(seconds / epoch)))


def main() -> None:
    parser = Parser(__doc__)
    AsrDataModule.add_arguments(parser)
    parser.add_argument("--max-duration", type=float, required=True, help="seconds of a batch")
    parser.add_argument("--seconds", type=float, required=True, help="of training there are")
    parser.add_argument("--trainings", type=float, required=True, help="in dense ones")
    parser.add_argument(
        "--longest", type=float, required=True, help="of them that must wait for one another"
    )
    args: argparse.Namespace = parser.parse_args()
    update, busy = dense_update(sys.stdin.read())
    speech = sum(cut.duration for cut in AsrDataModule.from_args(args).train_cuts())
    updates = math.ceil(speech / args.max_duration)
    print(epochs_in(args.seconds, update, busy, updates, args.trainings, args.longest))


if __name__ == "__main__":
    run_main(main)
