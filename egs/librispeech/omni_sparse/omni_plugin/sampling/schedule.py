# SPDX-License-Identifier: Apache-2.0
"""Which sparsities are in play at a point of a run."""

from __future__ import annotations

from typing import NamedTuple

from omni_plugin.errors import OmniError
from omni_plugin.patterns import check_sparsity
from omni_plugin.sampling.ramp import Ramp


class Span(NamedTuple):
    """Sparsities in play, from the densest sub-network's to the sparsest's."""

    densest: float
    sparsest: float


class Schedule:
    """The span of sparsities over a run.

    The sparsest follows the ramp. With ``grow_from`` 0 the densest is the full network all along.
    Else, from the start of the ramp to ``grow_from`` the sparsest is the only one, and from then
    to ``grow_until`` the densest grows from it to the full network, its density in proportion to
    the updates: what was pruned would disturb what has been learnt if it came back at once.

    Args:
      max_sparsity: Of the sparsest in the end.
      ramp: How it gets there.
      grow_from, grow_until: Shares of the run, 0 <= grow_from <= grow_until <= 1.
    """

    def __init__(
        self, max_sparsity: float, ramp: Ramp, grow_from: float = 0.0, grow_until: float = 0.0
    ) -> None:
        if not 0 <= grow_from <= grow_until <= 1:
            raise OmniError(
                f"growth from {grow_from} to {grow_until}: needs 0 <= grow_from <= grow_until <= 1"
            )
        self.max_sparsity = check_sparsity(max_sparsity, "max_sparsity")
        self.ramp, self.grow_from, self.grow_until = ramp, grow_from, grow_until

    def __call__(self, progress: float) -> Span:
        """The span where a share ``progress`` of the run, 0 to 1, is done."""
        sparsest = self.max_sparsity * self.ramp(progress)
        if progress < self.grow_from:
            return Span(sparsest, sparsest)
        if progress < self.grow_until:
            left = (self.grow_until - progress) / (self.grow_until - self.grow_from)
            return Span(left * sparsest, sparsest)
        return Span(0.0, sparsest)

    def is_growing(self, progress: float) -> bool:
        """Whether the sparsest is no longer the only one."""
        return progress >= self.grow_from
