# SPDX-License-Identifier: Apache-2.0
"""What a GPU does in a training update, and how often the host waits for it.

Usage (from the recipe's folder):
  PYTHONPATH=. python3 benchmarks/step_profile.py --config conf/demo.yaml --seconds 240

For each kind of update of benchmarks/supernet_step.py: the kernels, the milliseconds that they take
in all, those between the first one's begin and the last one's end, in which the GPU idles where the
host is late, and the waits of the host. Then where the dense update's kernels come from. On the CPU
there are no kernels, and all are 0.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.supernet_step import Learner, Updates, add_arguments
from emformer.options import Parser

# Calls that return only when the device is done. Our own torch.cuda.synchronize is none of an
# update's, and is cudaDeviceSynchronize.
_WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy")


class Profile(NamedTuple):
    """Of one update, in milliseconds."""

    kernels: int
    busy: float
    span: float
    waits: int
    by_name: Counter[str]


def profile_update(updates: Updates, warm_up: int = 3) -> Profile:
    """The update after some that are not looked at."""
    for _ in range(warm_up):
        updates.run()
    activities = [ProfilerActivity.CPU]
    if updates.device != "cpu":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as found:
        updates.run()
    return summary(found.profiler.kineto_results.events())


def summary(events: Iterable[Any]) -> Profile:
    """Of kineto's events of one update."""
    kernels, waits = [], 0
    by_name: Counter[str] = Counter()
    for event in events:
        if event.device_type() == DeviceType.CUDA:
            kernels.append(_begin_and_end(event))
            by_name[event.name().split("<")[0].split("(")[0]] += 1
        elif event.name() in _WAITS:
            waits += 1
    if not kernels:
        return Profile(0, 0.0, 0.0, waits, by_name)
    busy = sum(end - start for start, end in kernels)
    span = max(end for _, end in kernels) - min(start for start, _ in kernels)
    return Profile(len(kernels), busy / 1e6, span / 1e6, waits, by_name)


def _begin_and_end(event: Any) -> tuple[int, int]:
    """Of a kernel, in nanoseconds."""
    if hasattr(event, "start_ns"):
        return event.start_ns(), event.start_ns() + event.duration_ns()
    return event.start_us() * 1000, (event.start_us() + event.duration_us()) * 1000  # torch 1


def main() -> None:
    parser = Parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--names", type=int, default=12, help="of kernels to tell (default 12)")
    args: argparse.Namespace = parser.parse_args()
    learner = Learner(args)
    found = {kind: profile_update(Updates(kind, args, 4, learner)) for kind in args.kinds}
    print(f"{'update':24} kernels  busy ms  span ms  waits")
    for kind, one in found.items():
        print(f"{kind:24} {one.kernels:7} {one.busy:8.2f} {one.span:8.2f} {one.waits:6}")
    for name, count in found[args.kinds[0]].by_name.most_common(args.names):
        print(f"  {count:5} {name[:90]}")


if __name__ == "__main__":
    main()
