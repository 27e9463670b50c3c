# SPDX-License-Identifier: Apache-2.0
"""Shapes of sub-networks that are known without a search: baselines, and where a search starts."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence

import torch

from omni_plugin.search.costs import Cost
from omni_plugin.search.space import Space, Vector
from omni_plugin.supernet import SuperNet


class Guide:
    """A vector for every size, between those of a chain.

    Args:
      space: Of the vectors.
      chain: Ever sparser vectors, from the densest to the sparsest of the space.
    """

    def __init__(self, space: Space, chain: Sequence[Vector]) -> None:
        self.chain = list(chain)
        self._sizes = [space.size(vector) for vector in chain]

    def at(self, size: float) -> list[float]:
        """Shares at a size, not on the grid."""
        after = min(max(bisect.bisect_left(self._sizes, size), 1), len(self.chain) - 1)
        low, high = self._sizes[after - 1], self._sizes[after]
        part = min(max((size - low) / (high - low), 0.0), 1.0) if high > low else 1.0
        pairs = zip(self.chain[after - 1], self.chain[after], strict=True)
        return [a + part * (b - a) for a, b in pairs]


def levels_to_try(space: Space, number: int) -> list[tuple[int, float]]:
    """Axes and shares whose single effect :func:`sensitivity_chain` wants to know.

    Args:
      space: What is searched.
      number: Shares of each axis, evenly spaced up to its highest.
    """
    pairs = [
        (i, axis.on_grid(axis.high * n / number))
        for i, axis in enumerate(space.axes)
        for n in range(1, number + 1)
    ]
    return [(i, share) for i, share in dict.fromkeys(pairs) if share > 0]


def one_at_a_time(space: Space, tried: Sequence[tuple[int, float]]) -> list[Vector]:
    """The dense vector with one axis at a share, for each pair of an axis and a share."""
    dense = space.uniform(0.0)
    return [(*dense[:i], share, *dense[i + 1 :]) for i, share in tried]


def sensitivity_chain(
    space: Space, cost: Cost, harm: Sequence[tuple[int, float, float]]
) -> list[Vector]:
    """From dense to sparsest, always by what harms least for the cost that it saves.

    Harms of several axes are taken to add up, and to be linear between the shares that were
    tried. A step raises one axis, by as much as gives it the best ratio of harm to saving.

    Args:
      space: Of the vectors.
      cost: What is saved.
      harm: Triples of an axis, a share, and how much worse than dense the network is with it alone.
    """
    curves = []
    for i, axis in enumerate(space.axes):
        known = sorted([(0.0, 0.0), *((share, h) for n, share, h in harm if n == i)])
        grid = sorted(
            {axis.on_grid(n * axis.step) for n in range(round(axis.high / axis.step) + 1)}
        )
        curves.append([(share, _interpolate(known, share)) for share in grid])
    at = [0] * len(space)
    chain = [space.uniform(0.0)]
    while True:
        steps = [
            (_ratio(cost, i, curve[at[i]], curve[n]), i, n)
            for i, curve in enumerate(curves)
            for n in range(at[i] + 1, len(curve))
        ]
        if not steps:
            return chain
        # Of equal ratios the longest step, which ends where the ratio changes.
        _, i, n = min(steps, key=lambda step: (step[0], -step[2]))
        at[i] = n
        chain.append(tuple(curve[a][0] for curve, a in zip(curves, at, strict=True)))


def _interpolate(known: Sequence[tuple[float, float]], share: float) -> float:
    after = min(max(bisect.bisect_left(known, (share,)), 1), len(known) - 1)
    (x0, y0), (x1, y1) = known[after - 1], known[after]
    return y0 + (y1 - y0) * (share - x0) / (x1 - x0)


def _ratio(cost: Cost, axis: int, a: tuple[float, float], b: tuple[float, float]) -> float:
    """Harm a unit of saved cost; what saves nothing is worth nothing."""
    saved = cost.axis(axis, a[0]) - cost.axis(axis, b[0])
    return (b[1] - a[1]) / saved if saved > 0 else float("inf")


@torch.no_grad()
def magnitude_chain(space: Space, supernet: SuperNet, number: int = 40) -> list[Vector]:
    """Levels that ranking the blocks of all covered weights together gives, by size.

    Args:
      space: Of the supernet's levels.
      supernet: Its dense weights are ranked.
      number: Vectors of the chain.
    """
    parameters = dict(supernet.model.named_parameters())
    scores = [
        supernet.pattern.scores(parameters[name]).flatten().sort().values
        for name in supernet.layer_names
    ]

    def below(threshold: float) -> list[float]:
        """Share of each weight's blocks with lower scores, as far as an axis goes."""
        return [
            min(float(torch.searchsorted(s, threshold)) / len(s), axis.high)
            for s, axis in zip(scores, space.axes, strict=True)
        ]

    top = float(max(s[-1] for s in scores)) * 2
    chain = []
    for n in range(number + 1):
        size = space.max_size * n / number
        chain.append(space.on_grid(below(_solve(lambda t: space.size(below(t)), size, top))))
    return sorted(set(chain), key=space.size)


def _solve(rising: Callable[[float], float], value: float, top: float) -> float:
    """Where a function that rises from 0 to ``top`` reaches a value."""
    low, high = 0.0, top
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return high
