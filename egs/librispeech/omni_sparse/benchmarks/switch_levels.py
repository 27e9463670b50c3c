# SPDX-License-Identifier: Apache-2.0
"""Time and memory of switching a large model between two sparsity levels on the CPU.

Usage (from the recipe's folder):
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/switch_levels.py

A switch is `set_active_subnet` and the first opening of `masked()` without gradients, in which the
masked weights are written; from then on the model is the sub-network, chunk by chunk.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from emformer.config import load_config
from emformer.model import make_model, num_deployed_parameters
from emformer.options import Parser
from omni_plugin import SuperNet


def resident() -> int:
    """Bytes of memory that this process occupies."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmRSS")


def held(supernet: SuperNet) -> int:
    """Bytes of tensors that a supernet holds beside the model."""
    found: dict[int, int] = {}
    for layer in supernet._layers:
        for value in vars(layer).values():
            if isinstance(value, Tensor):
                found[value.data_ptr()] = value.numel() * value.element_size()
    return sum(found.values())


@torch.no_grad()
def switch(supernet: SuperNet, level: float) -> tuple[float, float]:
    """Seconds until the sub-network can run: by the clock, and of the processor."""
    clock, process = time.perf_counter(), time.process_time()
    supernet.set_active_subnet(level)
    with supernet.masked():
        return time.perf_counter() - clock, time.process_time() - process


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "--config",
        default="conf/librispeech.yaml",
        help="of the model (default conf/librispeech.yaml)",
    )
    parser.add_argument("--vocab-size", type=int, default=500, help="default 500")
    parser.add_argument("--pattern", default="8x1", help="of the blocks (default 8x1)")
    parser.add_argument(
        "--include",
        nargs="+",
        default=[r"^encoder\.emformer\."],
        help="weights that are pruned, as patterns of names",
    )
    parser.add_argument(
        "--sparsities", type=float, nargs=2, default=[0.5, 0.9], help="the two levels"
    )
    parser.add_argument("--switches", type=int, default=200, help="how many (default 200)")
    args = parser.parse_args()

    model = make_model(load_config(args.config).model, args.vocab_size).eval()
    supernet = SuperNet(model, args.pattern, args.include)
    print(f"{num_deployed_parameters(model) / 1e6:.1f} M parameters; {supernet.coverage()[:68]}")
    print(f"{torch.get_num_threads()} threads; bytes held beside the model: {held(supernet):,}")

    spent, bytes_held, bytes_resident = [], [], []
    for number in range(args.switches):
        spent.append(switch(supernet, args.sparsities[number % 2]))
        bytes_held.append(held(supernet))
        bytes_resident.append(resident())
    for name, values in zip(("clock", "processor"), zip(*spent, strict=True), strict=True):
        values = sorted(values[2:])
        print(
            f"a switch, seconds by the {name}: median {statistics.median(values):.3f}, "
            f"95 % of them below {values[int(0.95 * len(values))]:.3f}, most {values[-1]:.3f}"
        )
    print(f"bytes held beside the model: {bytes_held[1]:,} after 2, {bytes_held[-1]:,} after all")
    print(
        f"growth of the process over switches 3 to {args.switches}: "
        f"{bytes_resident[-1] - bytes_resident[1]:,} bytes of {bytes_resident[-1]:,}"
    )


if __name__ == "__main__":
    main()
