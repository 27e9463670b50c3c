# SPDX-License-Identifier: Apache-2.0
"""Time of the RNN-T loss's recursion with gradients, by all ways that there are here, in turn.

Usage (from the recipe's folder):
  PYTHONPATH=. python3 benchmarks/rnnt_recursion.py --device cuda

Prints a table: the median of the milliseconds, and how far the occupation of an arc is at most from
that of k2's (or fast_rnnt's) recursion on the CPU in float64. Regular lattices of equal length.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from emformer import rnnt_backend
from emformer.errors import RecipeError
from emformer.mutual_information.recursion import mutual_information_recursion
from emformer.mutual_information.triton_check import VARIABLE, why_no_triton
from emformer.options import Parser


def compiled(px: Tensor, py: Tensor, boundary: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The library's own recursion, on the CPU wherever the tensors are.

    Raises:
      RecipeError: There is no library.
    """
    module, reason = rnnt_backend.choose_backend(os.environ.get("OMNI_RNNT_BACKEND", ""))
    if module is None:
        raise RecipeError(reason)
    on_cpu = (px.cpu(), py.cpu(), boundary.cpu())
    scores, (x, y) = module.mutual_information_recursion(*on_cpu, return_grad=True)
    return scores.to(px.device), (x.to(px.device), y.to(px.device))


def ours(variable: str) -> Callable:
    """Our recursion, with ``OMNI_RNNT_RECURSION`` set so."""

    def run(px: Tensor, py: Tensor, boundary: Tensor):
        if os.environ.get(VARIABLE) != variable:
            os.environ[VARIABLE] = variable
            why_no_triton.cache_clear()
            why_no_triton()
        return mutual_information_recursion(px, py, boundary, return_grad=True)

    return run


def ways(device: str) -> dict[str, Callable]:
    """By name, what can be timed on a device."""
    found = {"k2 or fast_rnnt, on the CPU": compiled, "torch operations": ours("torch")}
    if device != "cpu":
        os.environ.pop(VARIABLE, None)
        why_no_triton.cache_clear()
        if why_no_triton():
            print(f"no Triton kernel: {why_no_triton()}")
        else:
            found["Triton kernel"] = ours("")
    return found


def lattices(n: int, s: int, t: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """px, py and boundary of random regular lattices; a score is about -5 a step."""
    g = torch.Generator().manual_seed(0)
    px = -4 - torch.randn(n, s, t + 1, generator=g).abs()
    py = -4 - torch.randn(n, s + 1, t, generator=g).abs()
    px[:, :, -1] = -torch.inf
    boundary = torch.tensor([[0, 0, s, t]] * n)
    return px.to(device), py.to(device), boundary.to(device)


def measure(args) -> list[tuple[str, float, float]]:
    """Name, median milliseconds and largest error of each way."""
    case = lattices(args.utterances, args.symbols, args.frames, args.device)
    exact = compiled(case[0].double(), case[1].double(), case[2])[1]
    functions = ways(args.device)
    errors = {}
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(args.rounds + 2):  # the first two warm up
        for name, function in functions.items():
            if args.device != "cpu":
                # Also switches to the way, which is no part of its time.
                function(*case)
                torch.cuda.synchronize()
            start = time.perf_counter()
            found = function(*case)[1]
            if args.device != "cpu":
                torch.cuda.synchronize()
            if number >= 2:
                seconds[name].append(time.perf_counter() - start)
            errors[name] = max(
                float((a - b).abs().max()) for a, b in zip(found, exact, strict=True)
            )
    return [(name, 1000 * statistics.median(s), errors[name]) for name, s in seconds.items()]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--utterances", type=int, default=24, help="N (default 24)")
    parser.add_argument("--symbols", type=int, default=60, help="S (default 60)")
    parser.add_argument("--frames", type=int, default=250, help="T, encoder frames (default 250)")
    parser.add_argument("--rounds", type=int, default=30, help="times each (default 30)")
    args = parser.parse_args()
    print("| recursion | ms | largest error |\n|---|---|---|")
    for name, milliseconds, error in measure(args):
        print(f"| {name} | {milliseconds:.2f} | {error:.0e} |")


if __name__ == "__main__":
    main()
