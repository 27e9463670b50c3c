# SPDX-License-Identifier: Apache-2.0
"""Time of a dense training step against that of another package set or optimizer, in turn.

Usage (from the recipe's folder, sets installed by install.sh):
  python3 benchmarks/train_step.py --against ../../../.venv-current/bin/python3
  python3 benchmarks/train_step.py --optimizer muon --against-optimizer adamw

Prints the median seconds a step of both and the median of the ratios of neighbouring runs: single
figures drift with whatever else the machine does, ratios much less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

from benchmarks.child import output_of
from emformer.options import Parser


def time_steps(config_path: str, optimizer_name: str | None, steps: int) -> float:
    """Median seconds of a step (forward, backward, clipping, update) on random features."""
    import torch

    from emformer.config import load_config
    from emformer.model import make_model
    from emformer.training.loss import Batch
    from emformer.training.method import TrainingMethod
    from emformer.training.schedule import make_optimizer

    torch.manual_seed(0)
    config = load_config(config_path).with_training(optimizer=optimizer_name)
    model = make_model(config.model, 128)
    optimizer = make_optimizer(model, config.training)
    method = TrainingMethod(config.training, 100)
    size, frames, symbols = 20, 150, 12
    batch = Batch(
        torch.randn(size, frames, 80) * 3.5 - 5,
        torch.full((size,), frames),
        torch.randint(1, 128, (size, symbols)),
        torch.full((size,), symbols),
    )
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        method.loss(model, batch, None, 50)[0].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.training.clip_grad_norm)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])  # the first two warm up


def run_in(python: str, optimizer: str | None, args: argparse.Namespace) -> float:
    """:func:`time_steps` in a process of an interpreter."""
    words = [python, __file__, "--config", args.config, "--steps", str(args.steps), "--child"]
    words += [] if optimizer is None else ["--optimizer", optimizer]
    return json.loads(output_of(words))


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--against", default=sys.executable, help="python3 of the other set")
    parser.add_argument(
        "--config",
        default="conf/demo.yaml",
        help="model and training settings (default conf/demo.yaml)",
    )
    parser.add_argument("--optimizer", help="default: the configuration's")
    parser.add_argument("--against-optimizer", help="default: the same")
    parser.add_argument("--steps", type=int, default=20, help="steps of a run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(time_steps(args.config, args.optimizer, args.steps)))
        return
    sides = [
        (sys.executable, args.optimizer),
        (args.against, args.against_optimizer or args.optimizer),
    ]
    if sides[0] == sides[1]:
        parser.error("give --against or --against-optimizer")
    seconds = [[run_in(*side, args) for side in sides] for _ in range(args.rounds)]
    for (python, optimizer), found in zip(sides, zip(*seconds, strict=True), strict=True):
        which = f" with {optimizer}" if optimizer else ""
        print(f"{python}{which}: {statistics.median(found):.4f} s a step")
    ratio = statistics.median(own / other for own, other in seconds)
    print(f"ratio {ratio:.3f} (median of {args.rounds} neighbouring pairs)")


if __name__ == "__main__":
    main()
