# SPDX-License-Identifier: Apache-2.0
"""What a search found, as fronts in the experiment's folder, and what is best for some budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_emformer.search.measure import LOSS, WER
from omni_emformer.search.setup import Search
from omni_emformer.supernet.fronts import ESTIMATE, FRONT, RANDOM_FRONT, front_path
from omni_plugin.search import RANDOM, SEARCH, UNIFORM, Found, FrontPoint, front, write_front

_KINDS = {SEARCH: FRONT, RANDOM: RANDOM_FRONT}


def write_fronts(
    exp_dir: Path, search: Search, found: Mapping[str, Found]
) -> dict[str, list[FrontPoint]]:
    """Write the fronts of the search and of the random sub-networks; returns them by method."""
    fronts = {}
    for method, kind in _KINDS.items():
        path = front_path(exp_dir, kind, search.cost.name)
        fronts[method] = _points(search, found[method], path.stem)
        more = {"cost": search.cost.name, "made_of": search.made_of}
        write_front(path, fronts[method], more)
    return fronts


def _points(search: Search, found: Found, stem: str) -> list[FrontPoint]:
    names = [axis.name for axis in search.space.axes]
    points = []
    for number, i in enumerate(front(found.points)):
        vector = found.vectors[i]
        scores = {
            ESTIMATE: found.estimates[i],
            WER: found.scores[i],
            LOSS: search.pareto.proxy(vector),
        }
        costs = {name: cost(vector) for name, cost in search.costs.items()}
        levels = dict(zip(names, vector, strict=True))
        points.append(FrontPoint(f"{stem}/{number}", levels, scores, costs))
    return points


@dataclass(frozen=True)
class Choice:
    """The best of each method that cost no more than a uniform level.

    Args:
      level: The uniform one.
      cost: Of that.
      names: Sub-networks that the sweep knows, by method; the uniform one first.
    """

    level: float
    cost: float
    names: Mapping[str, str]


def choose(
    search: Search, fronts: Mapping[str, Sequence[FrontPoint]], budgets: Iterable[float]
) -> list[Choice]:
    """What to compare on the test splits.

    Args:
      search: What found it.
      fronts: By method.
      budgets: Shares of the covered weights that a uniform level leaves.
    """
    choices = []
    for budget in budgets:
        vector = search.space.uniform(1 - budget)
        cost = search.cost(vector)
        names = {UNIFORM: f"{vector[0]:.2f}"}
        for method, points in fronts.items():
            within = [point for point in points if point.costs[search.cost.name] <= cost]
            if within:
                names[method] = min(within, key=lambda point: point.scores[ESTIMATE]).name
        choices.append(Choice(vector[0], cost, names))
    return choices
