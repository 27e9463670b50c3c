# SPDX-License-Identifier: Apache-2.0
"""Time and memory of pruning an encoder in closed form.

Usage (from the recipe's folder):
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/calibration.py
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/calibration.py --config conf/demo.yaml

An Emformer of random weights on random features, whose blocks are ranked once and whose layers are
then solved, all levels side by side. Time grows with the number of layers: --layers 4 tells that of
20 in a fifth of the time. Seconds are the process's own; memory is the most that it takes, weights,
activations and what Python needs included.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import sys
import time
from pathlib import Path

import torch

from emformer.config import load_config
from emformer.model import make_model
from omni_plugin.calibration import Calibration, CalibrationSettings

_FRAMES_A_SECOND = 100
VOCAB_SIZE = 500


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", type=Path, default=Path("conf/librispeech.yaml"), help="of the encoder"
    )
    parser.add_argument(
        "--levels", type=float, nargs="+", default=[0.5, 0.7, 0.8, 0.9], help="sparsities"
    )
    parser.add_argument("--seconds", type=float, default=160.0, help="of features, in all")
    parser.add_argument("--utterance", type=float, default=10.0, help="seconds of one")
    parser.add_argument("--layers", type=int, help="default: the configuration's")
    parser.add_argument("--score", default="obs", help="what blocks are ranked by (default obs)")
    parser.add_argument("--pattern", default="8x1", help="of the blocks (default 8x1)")
    return parser


def main() -> None:
    args = get_parser().parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = load_config(args.config).model
    if args.layers:
        config = dataclasses.replace(config, num_layers=args.layers)
    model = make_model(config, VOCAB_SIZE).eval()
    frames = int(args.utterance * _FRAMES_A_SECOND)
    lens = torch.full((2,), frames)
    batches = [
        torch.randn(2, frames, config.feature_dim)
        for _ in range(max(1, round(args.seconds / args.utterance / 2)))
    ]
    calls = [lambda model, x=x: model.encode(x, lens) for x in batches]
    settings = CalibrationSettings(
        pattern=args.pattern, include=(r"^encoder\.emformer\.",), score=args.score
    )
    start = time.process_time()
    calibration = Calibration(model, calls, settings)
    ranking = time.process_time() - start
    print(f"{calibration.supernet.coverage().splitlines()[0]}")
    print(f"blocks ranked by {args.score}, once for all levels: {ranking:.1f} s")
    start = time.process_time()
    calibration.models(args.levels)
    solving = time.process_time() - start
    print(f"levels {', '.join(map(str, args.levels))} solved: {solving:.1f} s")
    share = (ranking + solving) / len(args.levels)
    print(f"a level, its share of the ranking included: {share:.1f} s")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"most memory: {most:.2f} GiB")


if __name__ == "__main__":
    sys.exit(main())
