# SPDX-License-Identifier: Apache-2.0
"""Fronts as files, and sub-networks chosen from them by name or by budget."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from omni_plugin.errors import OmniError


@dataclass(frozen=True)
class FrontPoint:
    """A sub-network on a front.

    Args:
      name: Of the front's file and the point's number within it, such as ``front/3``.
      levels: Sparsity of each covered weight, by name.
      scores: By metric, on the data of the search.
      costs: By name.
    """

    name: str
    levels: Mapping[str, float]
    scores: Mapping[str, float]
    costs: Mapping[str, float]


def write_front(path: Path, points: Sequence[FrontPoint], more: Mapping[str, object]) -> None:
    """Write a front, whole or not at all.

    Args:
      path: Its stem is the first part of the points' names.
      points: From the lowest cost to the highest.
      more: What else the file tells.
    """
    part = path.with_name(path.name + ".part")
    content = {"points": [asdict(point) for point in points], **more}
    part.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(part, path)


def read_front(path: Path) -> tuple[list[FrontPoint], dict]:
    """The points of a front, and what else the file tells.

    Raises:
      OmniError: There is no such file, or it is no front.
    """
    try:
        content = json.loads(path.read_text())
        return [FrontPoint(**point) for point in content.pop("points")], content
    except FileNotFoundError:
        raise OmniError(f"{path}: no such front; search first") from None
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise OmniError(f"{path}: not a front ({type(e).__name__}: {e})") from None


def named_point(points: Sequence[FrontPoint], name: str) -> FrontPoint:
    """The point of a name.

    Raises:
      OmniError: There is none.
    """
    for point in points:
        if point.name == name:
            return point
    known = f"{points[0].name} to {points[-1].name}" if points else "nothing"
    raise OmniError(f"no sub-network is called {name!r}; the front has {known}")


def best_under(
    points: Sequence[FrontPoint], budgets: Mapping[str, float], score: str
) -> FrontPoint:
    """The point of the best score that costs no more than allowed.

    Args:
      points: What is chosen from.
      budgets: Most of each cost, by name.
      score: Metric that decides.

    Raises:
      OmniError: None is so small; names the closest one.
    """

    def excess(point: FrontPoint) -> float:
        return max(point.costs[name] / most for name, most in budgets.items())

    within = [point for point in points if excess(point) <= 1]
    if within:
        return min(within, key=lambda point: point.scores[score])
    closest = min(points, key=excess)
    wanted = ", ".join(f"{most:,g} {name}" for name, most in budgets.items())
    has = ", ".join(f"{closest.costs[name]:,g} {name}" for name in budgets)
    raise OmniError(
        f"no sub-network has at most {wanted}; the closest is {closest.name} with {has}"
    )
