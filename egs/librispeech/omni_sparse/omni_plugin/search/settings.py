# SPDX-License-Identifier: Apache-2.0
"""Settings of a search."""

from __future__ import annotations

from dataclasses import dataclass

from omni_plugin.errors import OmniError
from omni_plugin.options import check_fields


@dataclass(frozen=True)
class SearchSettings:
    """How much is tried and how.

    Args:
      evaluations: Vectors that the search may score, single effects included; as many are drawn
        at random for comparison.
      population: Vectors of a generation.
      spread: Largest offset of an axis from the shape that it begins with.
      sensitivity_levels: Shares of each axis whose single effect is measured.
      keep: Share of the vectors that go on from a rung to the next one.
      seed: Of all draws.
    """

    evaluations: int = 500
    population: int = 40
    spread: float = 0.2
    sensitivity_levels: int = 3
    keep: float = 0.33
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, "search")
        for name in ("evaluations", "population", "sensitivity_levels"):
            least = 2 if name == "population" else 1
            value = getattr(self, name)
            if value < least:
                raise OmniError(f"search.{name} is {value}; it must be {least} or more")
        for name in ("spread", "keep"):
            if not 0 < getattr(self, name) <= 1:
                raise OmniError(f"search.{name} is {getattr(self, name)}; it must lie in (0, 1]")
