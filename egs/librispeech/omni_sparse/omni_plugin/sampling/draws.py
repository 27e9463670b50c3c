# SPDX-License-Identifier: Apache-2.0
"""Draws of a sub-network: first its size, then its layers around it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from omni_plugin.errors import OmniError
from omni_plugin.patterns import check_sparsity
from omni_plugin.sampling.schedule import Span


def generator(seed: int, step: int, *more: object) -> random.Random:
    """Random numbers that are a function of the arguments, and no other generator's.

    The same on all ranks, unless the rank is among ``more``. Saving and restoring need nothing.
    """
    return random.Random("/".join(str(part) for part in (seed, step, *more)))


@dataclass(frozen=True)
class LevelSpace:
    """The sparsities a draw may take.

    Args:
      max_sparsity: The highest.
      levels: Only these sizes, ascending; empty for any up to ``max_sparsity``.
      layer_spread: How far a weight's level may be from the size drawn, as the half-width of a
        uniform distribution; 0 for the same level everywhere.
      max_layer_sparsity: The highest of a single weight, where the others make up for it;
        0 for ``max_sparsity``.
    """

    max_sparsity: float = 0.9
    levels: tuple[float, ...] = ()
    layer_spread: float = 0.0
    max_layer_sparsity: float = 0.0

    def __post_init__(self) -> None:
        check_sparsity(self.max_sparsity, "max_sparsity")
        for level in self.levels:
            if check_sparsity(level, "levels") > self.max_sparsity:
                raise OmniError(f"levels has {level}, above max_sparsity {self.max_sparsity}")
        if type(self.layer_spread) not in (int, float) or not 0 <= self.layer_spread <= 1:
            raise OmniError(f"layer_spread is {self.layer_spread}; it must lie in [0, 1]")
        highest = check_sparsity(self.max_layer_sparsity, "max_layer_sparsity")
        if highest and highest < self.max_sparsity:
            raise OmniError(
                f"max_layer_sparsity {highest} is below max_sparsity {self.max_sparsity}"
            )

    def size(self, rng: random.Random, span: Span) -> float:
        """A total sparsity within the span; its sparsest if no level is between the two ends."""
        if not self.levels:
            return rng.uniform(*span)
        within = [level for level in self.levels if span.densest < level <= span.sparsest]
        # While the ramp is below the lowest level, the ramp is what there is to train.
        return rng.choice(within) if within else span.sparsest

    def layers(
        self, rng: random.Random, size: float, weights: Sequence[int], span: Span
    ) -> tuple[float, ...]:
        """A level for each weight, whose mean over all parameters is the size drawn.

        Independent draws would all have nearly the mean size where there are many layers. So each
        is drawn around the size, and all are then moved together until the mean is right.

        Args:
          rng: See :func:`generator`.
          size: Of the whole sub-network.
          weights: Parameters of each layer.
          span: No layer is denser; one may be sparser, by as much as the sparsest layer of all may
            be sparser than the sparsest size.
        """
        if not self.layer_spread:
            return (size,) * len(weights)
        noise = [rng.uniform(-self.layer_spread, self.layer_spread) for _ in weights]
        total = sum(weights)
        highest = span.sparsest + max(0.0, self.max_layer_sparsity - self.max_sparsity)

        def at(shift: float) -> list[float]:
            return [min(max(size + n + shift, span.densest), highest) for n in noise]

        low, high = -1.0, 1.0
        for _ in range(40):  # bisection: the mean grows with the shift
            middle = (low + high) / 2
            mean = sum(s * w for s, w in zip(at(middle), weights, strict=True)) / total
            low, high = (middle, high) if mean < size else (low, middle)
        return tuple(at(high))
