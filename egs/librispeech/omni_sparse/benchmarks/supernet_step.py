# SPDX-License-Identifier: Apache-2.0
"""Time and memory of a supernet's training update against a dense one's.

Usage (from the recipe's folder):
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/supernet_step.py
  PYTHONPATH=. python3 benchmarks/supernet_step.py --config conf/librispeech.yaml --device cuda

Time: all kinds of update take turns in one process, on the same batch, model and optimizer, so
that what else the machine does, and where in memory things lie, is the same for all of them. Blocks
are ranked anew as often as in training, and all sparsities are in play. On the CPU seconds are the
process's own, which other processes lengthen much less than a clock's; with one thread the two are
otherwise the same. Ratios are of the sums over all rounds; intervals (95 %) are a bootstrap over
the rounds.

Memory: each kind in a process of its own. The most that all tensors together take, weights and
optimizer included, which is exact; and on the CPU the most that the process takes beyond what it
has before it makes a model, in which the allocator has a share of a few per cent.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.child import output_of
from emformer.config import Config, load_config
from emformer.model import make_model
from emformer.options import Parser
from emformer.training.loss import Batch, read_info
from emformer.training.method import TrainingMethod
from emformer.training.precision import DTYPES, check_dtype
from emformer.training.schedule import make_optimizer
from omni_emformer.supernet.method import OmniMethod
from omni_emformer.supernet.system import load_system
from omni_plugin import DistillationSettings

VOCAB_SIZE = 128

#: Kinds of update: how many dense updates each may cost, and changes to the system's settings.
KINDS: dict[str, tuple[int, dict[str, Any] | None]] = {
    "dense": (1, None),
    "single": (1, {"sampler": {"name": "single"}}),
    "split, 2 parts": (1, {"sampler": {"name": "split", "parts": 2}}),
    "sandwich, 2 passes": (2, {"sampler": {"name": "sandwich", "random": 0}}),
    "sandwich, 3 passes": (3, {"sampler": {"name": "sandwich", "random": 1}}),
    "sandwich, 3 passes, kl": (
        3,
        {
            "sampler": {"name": "sandwich", "random": 1},
            "distillation": DistillationSettings(start=0.0),
        },
    ),
}
# All sparsities are drawn from the start, and blocks ranked to the end.
_LATE = {
    "ramp": {"name": "linear", "start": 0.0, "end": 0.0},
    "grow_from": 0.0,
    "freeze_from": 1.0,
    "distillation": None,
}


def make_batch(config: Config, seconds: float, utterance: float, device: str) -> Batch:
    """Utterances of some seconds, as many as a batch has, of 8 symbols a second."""
    frames, symbols = round(100 * utterance), round(8 * utterance)
    size = max(1, int(seconds / utterance))
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(size, frames, config.model.feature_dim, generator=rng) * 3.5 - 5
    y = torch.randint(1, VOCAB_SIZE, (size, symbols), generator=rng)
    lens, y_lens = torch.full((size,), frames), torch.full((size,), symbols)
    return Batch(x.to(device), lens, y.to(device), y_lens)


class Learner:
    """A model and its optimizer, which kinds of update share.

    Args:
      args: Options of the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(0)
        config = load_config(args.config)
        self.model = make_model(config.model, VOCAB_SIZE).to(args.device).train()
        self.optimizer = make_optimizer(self.model, config.training)
        self.batch = make_batch(config, args.seconds, args.utterance, args.device)


class Updates:
    """Updates of one kind, as emformer.training.trainer does them.

    Args:
      kind: A name in :data:`KINDS`.
      args: Options of the command line.
      total: How many there will be at most, for schedules.
      learner: What is updated.
    """

    def __init__(self, kind: str, args: argparse.Namespace, total: int, learner: Learner) -> None:
        training, changes = load_config(args.config).training, KINDS[kind][1]
        make_method: Any = TrainingMethod
        if changes is not None:
            settings = load_system(args.system).sparsity
            settings = dataclasses.replace(settings, **{**_LATE, **changes})
            make_method = functools.partial(OmniMethod, sparsity=settings)
        self.method = make_method(training, total)
        self.wrapped = self.method.wrap(learner.model)
        self.learner, self.clip, self.device = learner, training.clip_grad_norm, args.device
        self.autocast: Any = contextlib.nullcontext
        if args.dtype != "float32":
            self.autocast = functools.partial(torch.autocast, args.device, DTYPES[args.dtype])
        self.update = 0

    def run(self) -> float:
        """One update; its seconds."""
        start, it = self._now(), self.learner
        it.optimizer.zero_grad(set_to_none=True)
        infos = []
        for which in self.method.passes(self.update):
            with self.autocast():
                loss, info = self.method.loss(self.wrapped, it.batch, which, self.update)
            loss.backward()
            infos.append(info)
        norm = nn.utils.clip_grad_norm_(it.model.parameters(), self.clip)
        _, (norm,) = read_info(infos, norm)
        assert math.isfinite(norm)
        it.optimizer.step()
        self.update += 1
        return self._now() - start

    def _now(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def interval(own: list[float], dense: list[float], draws: int = 2000) -> tuple[float, float, float]:
    """The ratio of two sums over rounds, and its 95 % bootstrap interval."""
    rng, count = random.Random(0), len(own)
    ratios = []
    for _ in range(draws):
        picked = rng.choices(range(count), k=count)
        ratios.append(sum(own[i] for i in picked) / sum(dense[i] for i in picked))
    ratios.sort()
    return sum(own) / sum(dense), ratios[int(0.025 * draws)], ratios[int(0.975 * draws)]


def compare_times(args: argparse.Namespace) -> None:
    warm_up, learner = 3, Learner(args)
    kinds = {kind: Updates(kind, args, args.rounds + warm_up, learner) for kind in args.kinds}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    order, rng = list(kinds), random.Random(0)
    for _ in range(args.rounds + warm_up):
        rng.shuffle(order)
        for kind in order:
            seconds[kind].append(kinds[kind].run())
    seconds = {kind: values[warm_up:] for kind, values in seconds.items()}
    print(f"{'update':24} {'seconds':>8} {'ratio':>6}  95 % interval   a pass   bar")
    for kind, own in seconds.items():
        ratio, low, high = interval(own, seconds["dense"])
        passes = KINDS[kind][0]
        print(
            f"{kind:24} {sum(own) / len(own):8.4f} {ratio:6.3f} [{low:6.3f}, {high:6.3f}]"
            f" {ratio / passes:8.3f}   {passes * 1.05:.2f}"
        )


def peak_memory(kind: str, args: argparse.Namespace) -> dict[str, int]:
    """Most bytes while updates run: of all tensors, and on the CPU of the process."""

    def run() -> None:
        updates = Updates(kind, args, args.memory_updates, Learner(args))
        for _ in range(args.memory_updates):
            updates.run()

    if args.device != "cpu":
        run()
        return {"tensors": torch.cuda.max_memory_allocated()}
    before = _status("VmRSS")
    run()
    process = _status("VmHWM") - before
    # A second time, since the profiler takes memory, too.
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    changes = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    new_torch = hasattr(changes[0], "start_ns")
    in_time = sorted(changes, key=lambda e: e.start_ns() if new_torch else e.start_us())
    return {"tensors": max(itertools.accumulate(e.nbytes() for e in in_time)), "process": process}


def _status(name: str) -> int:
    """Bytes of Linux's account of this process. getrusage would count its parent's, too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def compare_memory(args: argparse.Namespace) -> None:
    same = ("config", "system", "seconds", "utterance", "device", "dtype")
    words = [f"--{name}={getattr(args, name)}" for name in same]
    words.append(f"--memory-updates={args.memory_updates}")
    # Freed memory goes back at once, so that the process's peak is of what is in use.
    at_once = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    found: dict[str, dict[str, int]] = {}
    for kind in args.kinds:
        said = output_of([sys.executable, __file__, *words, "--child", kind], **at_once)
        found[kind] = json.loads(said.splitlines()[-1])
    for what in found["dense"]:
        print(f"\n{'most memory, ' + what:24} {'MB':>8} {'ratio':>6}  bar 1.1")
        for kind, values in found.items():
            ratio = values[what] / found["dense"][what]
            print(f"{kind:24} {values[what] / 1e6:8.1f} {ratio:6.3f}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What an update is of."""
    parser.add_argument(
        "--config",
        default="conf/demo.yaml",
        help="model and training settings (default conf/demo.yaml)",
    )
    parser.add_argument(
        "--system",
        default="conf/systems/omni.yaml",
        help="whose supernet (default conf/systems/omni.yaml)",
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="default cpu")
    parser.add_argument("--seconds", type=float, default=30.0, help="of audio in a batch")
    parser.add_argument("--utterance", type=float, default=1.5, help="seconds of each of them")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=list(KINDS),
        default=list(KINDS),
        help="of updates (default: all)",
    )
    parser.add_argument(
        "--dtype", default="float32", choices=list(DTYPES), help="under autocast (default float32)"
    )


def main() -> None:
    parser = Parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=100, help="of all kinds (default 100)")
    parser.add_argument("--memory-updates", type=int, default=4, help="0 for none")
    parser.add_argument("--child", choices=list(KINDS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    check_dtype(args.dtype, torch.device(args.device))
    if args.child:
        print(json.dumps(peak_memory(args.child, args)))
        return
    args.kinds = list(dict.fromkeys(["dense", *args.kinds]))
    if args.rounds:
        compare_times(args)
    if args.memory_updates:
        compare_memory(args)


if __name__ == "__main__":
    main()
