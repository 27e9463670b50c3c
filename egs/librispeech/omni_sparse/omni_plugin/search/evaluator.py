# SPDX-License-Identifier: Apache-2.0
"""Scores of networks: measured once, on little data first, on all of it for the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_plugin.search.costs import Cost
from omni_plugin.search.front import best
from omni_plugin.search.score_file import Measured, ScoreFile
from omni_plugin.search.space import Vector

#: Measures a metric of a vector on a part of the data: a sum and what to divide it by.
Measure = Callable[[Vector, str, int], tuple[float, float]]


@dataclass(frozen=True)
class Rung:
    """A way to score a network, cheaper or surer than another.

    Args:
      metric: What is measured.
      parts: On the first so many parts of the data.
    """

    metric: str
    parts: int


class Evaluator:
    """Scores vectors. What was measured before, here or by another process, is not measured again.

    Args:
      measure: Does the work.
      path: File of the measurements. They must be of one supernet and one set of data.
      tell: Called with the number of measurements made here, after each.
    """

    def __init__(
        self, measure: Measure, path: Path, tell: Callable[[int], None] = lambda number: None
    ) -> None:
        self._measure, self._file, self._tell = measure, ScoreFile(path), tell
        self.num_measured = 0

    def score(self, vector: Vector, rung: Rung) -> float:
        """The metric over the rung's parts together."""
        sums = [self._part(vector, rung.metric, part) for part in range(rung.parts)]
        return sum(total for total, _ in sums) / sum(count for _, count in sums)

    def known(self, vector: Vector, rung: Rung) -> float | None:
        """As :meth:`score`; None where something would have to be measured."""
        parts = range(rung.parts)
        if any(self._file.get(Measured(vector, rung.metric, part)) is None for part in parts):
            return None
        return self.score(vector, rung)

    def _part(self, vector: Vector, metric: str, part: int) -> tuple[float, float]:
        what = Measured(vector, metric, part)
        found = self._file.get(what)
        if found is None:
            found = self._measure(vector, metric, part)
            self._file.add(what, *found)
            self.num_measured += 1
            self._tell(self.num_measured)
        return found

    def score_all(self, vectors: Sequence[Vector], rung: Rung, start: int = 0) -> list[float]:
        """Scores of many.

        Args:
          vectors: What to score.
          rung: How.
          start: Where to begin. Processes that begin at different places of one list share the
            work, since each passes over what the others have done.
        """
        for i in range(len(vectors)):
            self.score(vectors[(start + i) % len(vectors)], rung)
        return [self.score(vector, rung) for vector in vectors]


def successive_halving(
    vectors: Sequence[Vector],
    cost: Cost,
    evaluator: Evaluator,
    rungs: Sequence[Rung],
    keep: float,
    start: float = 0.0,
) -> list[Vector]:
    """Those of many vectors that are still among the best when scored by the surest rung.

    See Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
    optimization", AISTATS 2016; here, with a front of costs and scores in place of an order.

    Args:
      vectors: All different.
      cost: Of a vector.
      evaluator: Scores them.
      rungs: From the cheapest to the surest.
      keep: Share of the vectors that go on from a rung to the next one.
      start: Where in the lists to begin, as a share of them; see :meth:`Evaluator.score_all`.

    Returns:
      Vectors that the last rung has scored.
    """
    alive = list(vectors)
    for number, rung in enumerate(rungs):
        scores = evaluator.score_all(alive, rung, int(start * len(alive)))
        if number + 1 < len(rungs):
            points = [(cost(v), score) for v, score in zip(alive, scores, strict=True)]
            alive = best(alive, points, round(keep * len(alive)))
    return alive
