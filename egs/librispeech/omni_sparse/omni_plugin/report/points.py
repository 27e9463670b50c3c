# SPDX-License-Identifier: Apache-2.0
"""The records that tables and plots are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A word error rate minus that of a reference, in percentage points.

    Args:
      mean: Below zero, the reference is worse.
      low, high: Its 95 % interval.
      share: Relative to the reference's rate; None where that is 0.
    """

    mean: float
    low: float
    high: float
    share: float | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Point:
    """A network's word error rate on a split.

    Args:
      system: What it is called; one line of a plot.
      subnet: Which of the system's networks, such as its sparsity: "dense", "0.70".
      split: Of the data.
      num_params, num_nonzero: All parameters, and those that are not zero.
      wer: In percent.
      low, high: Its 95 % interval.
      difference: To the reference; None for the reference itself or if it is not known.
    """

    system: str
    subnet: str
    split: str
    num_params: int
    num_nonzero: int
    wer: float
    low: float
    high: float
    difference: Difference | None = None


def by_network(points: Iterable[Point]) -> dict[tuple[str, str], dict[str, Point]]:
    """Points by split of each (system, subnet): systems as they come, each from large to small."""
    points = list(points)
    order = {name: number for number, name in enumerate(dict.fromkeys(p.system for p in points))}
    found: dict[tuple[str, str], dict[str, Point]] = {}
    for point in sorted(points, key=lambda p: (order[p.system], -p.num_nonzero)):
        found.setdefault((point.system, point.subnet), {})[point.split] = point
    return found


def splits_of(points: Iterable[Point]) -> list[str]:
    """Names of the splits, in alphabetical order."""
    return sorted({p.split for p in points})
