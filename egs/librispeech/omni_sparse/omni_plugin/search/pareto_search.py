# SPDX-License-Identifier: Apache-2.0
"""The whole of a search: baselines, the evolutionary search, and what is best of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omni_plugin.errors import OmniError
from omni_plugin.search.costs import Cost
from omni_plugin.search.estimate import estimates
from omni_plugin.search.evaluator import Evaluator, Rung, successive_halving
from omni_plugin.search.genes import Genes
from omni_plugin.search.guides import Guide, levels_to_try, one_at_a_time, sensitivity_chain
from omni_plugin.search.rank_correlation import rank_correlation
from omni_plugin.search.settings import SearchSettings
from omni_plugin.search.space import Space, Vector

if TYPE_CHECKING:  # what reads fronts has no need of optuna
    from optuna.study import Study

#: Methods of a search.
SEARCH, RANDOM, UNIFORM = "search", "random", "uniform"
SENSITIVITY, MAGNITUDE = "sensitivity", "magnitude"

_SIZES = 20  # of a chain that are scored
_DRAWS = 20  # for each vector wanted


@dataclass(frozen=True)
class Found:
    """Networks of one method.

    Args:
      tried: All that the first rung has scored.
      vectors: Those that the last rung has scored.
      costs: Of these.
      scores: By the last rung.
      estimates: What is to be expected of them on other data, see :func:`estimates`.
    """

    tried: list[Vector]
    vectors: list[Vector]
    costs: list[float]
    scores: list[float]
    estimates: list[float]

    @property
    def points(self) -> list[tuple[float, float]]:
        """Costs and estimates."""
        return list(zip(self.costs, self.estimates, strict=True))


class ParetoSearch:
    """Looks for the networks of least cost and least score.

    Processes that run the same search share its files, and the work. What they have stored is not
    done again, so an interrupted search goes on when it is run again.

    Args:
      space: What may be chosen.
      cost: Of a vector.
      evaluator: Scores vectors.
      rungs: Ways to score, from the cheapest, which the search itself uses, to the surest. The
        last but one is the proxy of the last.
      magnitude: Vectors by global magnitude, see :func:`magnitude_chain`.
      settings: How much is tried.
      folder: Of the study's file, ``study.db``.
      made_of: What the scores depend on, plain types by name.
      tell: Says a line.

    Raises:
      OmniError: There are too few evaluations.
    """

    def __init__(
        self,
        space: Space,
        cost: Cost,
        evaluator: Evaluator,
        rungs: Sequence[Rung],
        magnitude: Sequence[Vector],
        settings: SearchSettings,
        folder: Path,
        made_of: Mapping[str, object],
        tell: Callable[[str], None] = print,
    ) -> None:
        self.space, self.cost, self.evaluator, self.rungs = space, cost, evaluator, tuple(rungs)
        self.magnitude, self.settings, self.folder = list(magnitude), settings, folder
        self.made_of, self.tell = dict(made_of), tell
        self._tried = levels_to_try(space, settings.sensitivity_levels)
        before = len(self._tried) + len(space.uniform_vectors())
        self._num_trials = settings.evaluations - before
        if self._num_trials < settings.population:
            raise OmniError(
                f"{settings.evaluations} evaluations are too few: uniform levels and single "
                f"effects take {before}, a generation {settings.population}; give at least "
                f"{before + settings.population} evaluations, or a smaller population"
            )

    def run(self, worker: int = 0, workers: int = 1) -> dict[str, Found]:
        """Networks of each method.

        Args:
          worker, workers: This process's number, from 0, and how many were started together.

        Raises:
          OmniError: The study in the folder is of another search.
        """
        study, start = self._open_study(worker), worker / workers
        uniform = self.space.uniform_vectors()
        single = one_at_a_time(self.space, self._tried)
        guides = {
            SENSITIVITY: Guide(self.space, self._sensitivity(single, start)),
            MAGNITUDE: Guide(self.space, self.magnitude),
        }
        lists = {UNIFORM: uniform}
        lists.update((name, self._thinned(guide.chain)) for name, guide in guides.items())
        for name, vectors in lists.items():
            self.tell(f"{name}: {len(vectors)} vectors")
            for rung in self.rungs:
                self.evaluator.score_all(vectors, rung, int(start * len(vectors)))
        tried = dict(lists)
        tried[SEARCH] = list(dict.fromkeys([*uniform, *single, *self._evolve(study, guides)]))
        tried[RANDOM] = self._random()
        for name in (SEARCH, RANDOM):
            self.tell(f"{name}: the best of {len(tried[name])} vectors")
            lists[name] = successive_halving(
                tried[name], self.cost, self.evaluator, self.rungs, self.settings.keep, start
            )
        return self._found(tried, lists)

    def correlations(self, found: Mapping[str, Found]) -> list[tuple[Rung, float]]:
        """Rank correlation of each rung but the last with it, over all that it has scored."""
        vectors = list(dict.fromkeys(v for one in found.values() for v in one.vectors))
        last = self._scores(vectors, self.rungs[-1])
        return [
            (rung, rank_correlation(self._scores(vectors, rung), last)) for rung in self.rungs[:-1]
        ]

    def proxy(self, vector: Vector) -> float:
        """Score by the last rung but one."""
        return self.evaluator.score(vector, self.rungs[-2])

    def first_points(self, found: Found) -> list[tuple[float, float]]:
        """Costs and first scores of all that a method has tried."""
        scores = self._scores(found.tried, self.rungs[0])
        return list(zip(map(self.cost, found.tried), scores, strict=True))

    # The methods.

    def _random(self) -> list[Vector]:
        rng = random.Random(self.settings.seed)
        found: dict[Vector, None] = {}
        for _ in range(_DRAWS * self.settings.evaluations):  # a small space has no more
            found[self.space.random(rng, self.settings.spread)] = None
            if len(found) == self.settings.evaluations:
                break
        return list(found)

    def _sensitivity(self, single: list[Vector], start: float) -> list[Vector]:
        self.tell(f"{SENSITIVITY}: {len(single)} single effects")
        vectors = [self.space.uniform(0.0), *single]
        begin = int(start * len(vectors))
        dense, *others = self.evaluator.score_all(vectors, self.rungs[0], begin)
        pairs = zip(self._tried, others, strict=True)
        harm = [(axis, share, score - dense) for (axis, share), score in pairs]
        return sensitivity_chain(self.space, self.cost, harm)

    def _open_study(self, worker: int) -> Study:
        from omni_plugin.search.study import open_study

        made_of = {
            **self.made_of,
            "axes": [asdict(axis) for axis in self.space.axes],
            "first rung": asdict(self.rungs[0]),
            "spread": self.settings.spread,
            "sensitivity_levels": self.settings.sensitivity_levels,
        }
        path, seed = self.folder / "study.db", f"{self.settings.seed} {worker}"
        return open_study(path, self.cost.name, made_of, self.settings.population, seed)

    def _evolve(self, study: Study, guides: Mapping[str, Guide]) -> list[Vector]:
        from omni_plugin.search.study import run_study, vectors_of

        self.tell(f"{SEARCH}: {self._num_trials} trials")
        settings, rung = self.settings, self.rungs[0]
        genes = Genes(self.space, guides, settings.spread)
        sizes = self._sizes(settings.population // (1 + len(guides)))
        seeds = [genes.plain(size, name) for size in sizes for name in (None, *guides)]

        def objectives(vector: Vector) -> tuple[float, float]:
            return self.evaluator.score(vector, rung), self.cost(vector)

        run_study(study, genes, objectives, seeds, self._num_trials)
        return vectors_of(study)

    def _sizes(self, number: int) -> list[float]:
        """So many sizes whose remainders are evenly spaced on a logarithmic scale."""
        least = 1 - self.space.max_size
        return [1 - least ** (n / max(1, number - 1)) for n in range(number)]

    def _thinned(self, chain: Sequence[Vector]) -> list[Vector]:
        """The vectors of a chain next to some sizes."""
        near = [
            min(chain, key=lambda vector, size=size: abs(self.space.size(vector) - size))
            for size in self._sizes(_SIZES)
        ]
        return list(dict.fromkeys(near))

    # Scores.

    def _scores(self, vectors: Sequence[Vector], rung: Rung) -> list[float]:
        return [self.evaluator.score(vector, rung) for vector in vectors]

    def _found(
        self, tried: Mapping[str, list[Vector]], lists: Mapping[str, list[Vector]]
    ) -> dict[str, Found]:
        # One line for all methods, so that their estimates can be compared.
        vectors = list(dict.fromkeys(vector for one in lists.values() for vector in one))
        scores = self._scores(vectors, self.rungs[-1])
        proxies = self._scores(vectors, self.rungs[-2]) if len(self.rungs) > 1 else scores
        estimate = dict(zip(vectors, estimates(scores, proxies), strict=True))
        score = dict(zip(vectors, scores, strict=True))
        return {
            name: Found(
                tried[name],
                one,
                [self.cost(vector) for vector in one],
                [score[vector] for vector in one],
                [estimate[vector] for vector in one],
            )
            for name, one in lists.items()
        }
