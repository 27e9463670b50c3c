# SPDX-License-Identifier: Apache-2.0
"""Time of an icefall recipe's training step under the plugin against its own.

Usage (from the recipe's folder, with icefall's requirements installed):
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/icefall_step.py \
    --recipe ICEFALL/egs/librispeech/ASR/zipformer -- --causal 1

A step is ``compute_loss`` and backward. The step of the optimizer is left out: it is the same for
all, and would only bring the ratios nearer to 1. All kinds take turns in one process, on the same
batch and model, in random order. Seconds are the process's own; intervals (95 %) are a bootstrap
over the rounds.
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from emformer.options import Parser
from omni_plugin.icefall.__main__ import split
from omni_plugin.icefall.coverage import make_model
from omni_plugin.icefall.recipe import import_recipe
from omni_plugin.icefall.sparsity import SparsitySession

VOCAB_SIZE, SYMBOLS = 500, 12
#: All sparsities are drawn from the start, and blocks ranked anew as often as in training.
LATE = ("--omni-ramp-start", "0", "--omni-ramp-end", "0", "--omni-freeze-from", "1")


class Tokens:
    """A tokenizer whose symbols are drawn once."""

    def encode(self, texts: list[str], out_type: type) -> list[list[int]]:
        rng = random.Random(0)
        return [[rng.randrange(3, VOCAB_SIZE) for _ in range(SYMBOLS)] for _ in texts]


class Unscaled:
    """As a GradScaler that is not enabled."""

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        return loss


def make_batch(size: int, seconds: float) -> dict[str, Any]:
    frames = int(100 * seconds)
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(size, frames, 80, generator=rng) * 3.5 - 5
    lens = torch.full((size,), frames)
    return {"inputs": features, "supervisions": {"text": ["x"] * size, "num_frames": lens}}


def steps(args: argparse.Namespace, arguments: list[str]) -> dict[str, Callable[[], None]]:
    """A function for each kind of step; they share the model."""
    model, params = make_model(args.recipe, [*arguments, *LATE], VOCAB_SIZE)
    model.train()
    params["batch_idx_train"] = 1000
    given = {"params": params, "model": model, "sp": Tokens(), "is_training": True}
    given["batch"] = make_batch(args.utterances, args.seconds)
    compute = functools.partial(import_recipe(args.recipe).compute_loss, **given)
    sessions = {}
    for sampler in ("single", "sandwich"):
        options = {"omni_sampler": sampler, "omni_total_updates": 10**9}
        sessions[sampler] = SparsitySession(model, {**params, **options})
        sessions[sampler].start_epoch(params, [], Unscaled())

    def own() -> None:
        compute()[0].backward()

    def under_plugin(session: SparsitySession) -> None:
        params["batch_idx_train"] += 1
        session.compute_loss(compute, params, True)[0].backward()

    kinds = {kind: functools.partial(under_plugin, session) for kind, session in sessions.items()}
    return {"recipe": own, **kinds}


def interval(own: list[float], base: list[float], draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the ratio of two sums over rounds."""
    rng, rounds = random.Random(0), range(len(own))
    ratios = []
    for _ in range(draws):
        picked = rng.choices(rounds, k=len(own))
        ratios.append(sum(own[i] for i in picked) / sum(base[i] for i in picked))
    ratios.sort()
    return ratios[int(0.025 * draws)], ratios[int(0.975 * draws)]


def main() -> None:
    ours, theirs = split(sys.argv[1:])
    parser = Parser(__doc__)
    parser.add_argument("--recipe", type=Path, required=True, help="its folder")
    parser.add_argument("--rounds", type=int, default=20, help="of all kinds (default 20)")
    parser.add_argument("--utterances", type=int, default=6, help="of the batch (default 6)")
    parser.add_argument("--seconds", type=float, default=4.5, help="of each utterance")
    args = parser.parse_args(ours)
    kinds = steps(args, theirs)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    order, rng, warm_up = list(kinds), random.Random(0), 2
    for number in range(args.rounds + warm_up):
        rng.shuffle(order)
        for kind in order:
            start = time.process_time()
            kinds[kind]()
            if number >= warm_up:
                seconds[kind].append(time.process_time() - start)
    base = seconds["recipe"]
    print(f"{'step':12} {'seconds':>8} {'ratio':>6}  95 % interval")
    for kind, own in seconds.items():
        low, high = interval(own, base)
        ratio = sum(own) / sum(base)
        print(f"{kind:12} {sum(own) / len(own):8.3f} {ratio:6.3f} [{low:6.3f}, {high:6.3f}]")


if __name__ == "__main__":
    main()
