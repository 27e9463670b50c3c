# SPDX-License-Identifier: Apache-2.0
"""Which of many points are worth having: low cost and low score are both wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one is better than, by ascending cost.

    Of equal points, the first.

    Args:
      points: Pairs of cost and score.

    >>> front([(1, 9), (2, 5), (3, 6), (4, 1)])
    [0, 1, 3]
    """
    found: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if not found or points[i][1] < points[found[-1]][1]:
            found.append(i)
    return found


def best(items: Sequence[T], points: Sequence[tuple[float, float]], number: int) -> list[T]:
    """At least so many items, if there are: those on the front, then on the front of the rest.

    Args:
      items: What is chosen from.
      points: Cost and score of each.
      number: How many. Fronts are taken whole, so there may be more.
    """
    chosen: list[T] = []
    left = list(range(len(items)))
    while left and len(chosen) < number:
        found = {left[i] for i in front([points[i] for i in left])}
        chosen += [items[i] for i in left if i in found]
        left = [i for i in left if i not in found]
    return chosen


def area(points: Sequence[tuple[float, float]], corner: tuple[float, float]) -> float:
    """Area between a front and a corner, which the hypervolume is in two dimensions.

    Args:
      points: Pairs of cost and score; those beyond the corner do not count.
      corner: The worst cost and score of interest.

    >>> area([(1, 3), (2, 1)], corner=(4, 4))
    7
    """
    within = [p for p in points if p[0] < corner[0] and p[1] < corner[1]]
    total, height = 0, corner[1]
    for i in front(within):
        cost, score = within[i]
        total += (corner[0] - cost) * (height - score)
        height = score
    return total
