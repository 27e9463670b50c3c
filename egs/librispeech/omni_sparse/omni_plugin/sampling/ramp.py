# SPDX-License-Identifier: Apache-2.0
"""How the highest sparsity in play grows over a run."""

from __future__ import annotations

from abc import ABC, abstractmethod

from omni_plugin.errors import OmniError
from omni_plugin.options import named


class Ramp(ABC):
    """Nothing is pruned before ``start``, everything is in play from ``end`` on.

    Args:
      start, end: Shares of the run, 0 <= start <= end <= 1.
    """

    def __init__(self, start: float, end: float) -> None:
        numbers = all(type(x) in (int, float) for x in (start, end))
        if not numbers or not 0 <= start <= end <= 1:
            raise OmniError(f"ramp from {start} to {end}: needs 0 <= start <= end <= 1")
        self.start, self.end = start, end

    @abstractmethod
    def rise(self, x: float) -> float:
        """The curve from (0, 0) to (1, 1)."""

    def __call__(self, progress: float) -> float:
        """Share of the highest sparsity that is in play.

        Args:
          progress: Share of the run that is done, 0 to 1.
        """
        if progress < self.start:
            return 0.0
        if progress >= self.end:
            return 1.0
        return self.rise((progress - self.start) / (self.end - self.start))


class CubicRamp(Ramp):
    """``1 - (1 - x)^3``: fast at first, where most weights are redundant.

    From Zhu and Gupta, "To prune, or not to prune", 2017.

    >>> CubicRamp(0.0, 1.0)(0.5)
    0.875
    """

    def rise(self, x: float) -> float:
        return 1 - (1 - x) ** 3


class LinearRamp(Ramp):
    """In proportion to the updates."""

    def rise(self, x: float) -> float:
        return x


RAMPS: dict[str, type[Ramp]] = {"cubic": CubicRamp, "linear": LinearRamp}


def make_ramp(name: str, start: float, end: float) -> Ramp:
    """A ramp by its name in :data:`RAMPS`.

    Raises:
      OmniError: No ramp is called so, or the shares are no shares.
    """
    return named(RAMPS, "ramp", name)(start, end)
