# SPDX-License-Identifier: Apache-2.0
"""What may be chosen for each part of a network, and vectors of such choices."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from omni_plugin.errors import OmniError
from omni_plugin.patterns import check_sparsity
from omni_plugin.supernet import SuperNet

#: A value for each axis of a space, on its grid.
Vector = tuple[float, ...]

_HALVINGS = 50  # of an interval of width 4, which leaves nothing of it
_SAME = 1e-6  # sizes that differ by less are one


@dataclass(frozen=True)
class Axis:
    """A part of the network of which some share may be left out.

    Args:
      name: Of a weight or unit.
      weights: That it has.
      high: The largest share.
      step: Shares are multiples of it; 1 for a part that is there or not.
    """

    name: str
    weights: int
    high: float
    step: float

    def on_grid(self, share: float) -> float:
        """The nearest share that may be chosen."""
        last = int(self.high / self.step + _SAME)
        return round(min(max(round(share / self.step), 0), last) * self.step, 6)

    @property
    def grid(self) -> list[float]:
        """All shares that may be chosen, ascending."""
        return [self.on_grid(n * self.step) for n in range(int(self.high / self.step + _SAME) + 1)]


class Space:
    """All vectors of shares.

    >>> space = Space([Axis("a", 10, 0.9, 0.1), Axis("b", 30, 0.9, 0.1)])
    >>> space.near([0.0, 0.4], size=0.6)
    (0.3, 0.7)
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = tuple(axes)
        self._total = sum(axis.weights for axis in axes)
        #: Of the sparsest vector.
        self.max_size = self.size([axis.grid[-1] for axis in axes])

    def __len__(self) -> int:
        return len(self.axes)

    def size(self, shares: Iterable[float]) -> float:
        """Share left out of all weights together."""
        pairs = zip(self.axes, shares, strict=True)
        return sum(axis.weights * share for axis, share in pairs) / self._total

    def on_grid(self, shares: Iterable[float]) -> Vector:
        """The nearest vector."""
        return tuple(axis.on_grid(s) for axis, s in zip(self.axes, shares, strict=True))

    def uniform(self, share: float) -> Vector:
        """The same share of every axis, or the nearest one it can have."""
        return self.on_grid([share] * len(self))

    def uniform_vectors(self) -> list[Vector]:
        """All of them, the densest first."""
        shares = sorted({share for axis in self.axes for share in axis.grid})
        return list(dict.fromkeys(self.uniform(share) for share in shares))

    def near(self, shares: Sequence[float], size: float) -> Vector:
        """The vector of a size whose axes differ as some shares do, as far as bounds allow.

        All are moved together until the size is right, as nearly as the grid allows. Axes that
        are all or nothing are so taken in the order of their shares.
        """

        def moved(shift: float) -> Vector:
            return self.on_grid([share + shift for share in shares])

        low, high = -2.0, 2.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.size(moved(middle)) < size - _SAME else (low, middle)
        return moved(high)

    def random(self, rng: random.Random, spread: float) -> Vector:
        """A vector whose axes lie up to ``spread`` above and below its size.

        What it keeps is drawn on a logarithmic scale: half of it costs as much wherever one is.
        """
        size = 1 - math.exp(rng.uniform(math.log(1 - self.max_size), 0))
        return self.near([size + rng.uniform(-spread, spread) for _ in self.axes], size)


def space_of(supernet: SuperNet, step: float, max_level: float | None = None) -> Space:
    """The levels of each covered weight.

    Args:
      supernet: Its sub-networks are the vectors, in the order of its weights.
      step: Between two levels.
      max_level: The highest; by default, the supernet's highest.

    Raises:
      OmniError: The pattern does not have these levels.
    """
    high = check_sparsity(supernet.max_sparsity if max_level is None else max_level, "max_level")
    if not 0 < step <= high:
        raise OmniError(f"step is {step}; it must lie above 0 and not above max_level {high}")
    named = zip(supernet.layer_names, supernet.layer_sizes, strict=True)
    space = Space([Axis(name, size, high, step) for name, size in named])
    for level in space.axes[0].grid:
        supernet.subnet(space.uniform(level))
    return space
