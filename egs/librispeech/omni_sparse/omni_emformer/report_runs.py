# SPDX-License-Identifier: Apache-2.0
"""Results of several experiments, named and compared for a report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from emformer.bootstrap import pair_up, paired_difference
from emformer.errors import RecipeError
from emformer.results import CHUNK_WISE, DENSE, Result
from omni_emformer.experiment_files import Experiment
from omni_plugin.report import Difference, Point, Style, styles

# These three look the same in every report.
_FIXED = {
    "dense": Style("#000000", "o"),
    "omni": Style("#0072B2", "s"),
    "one_shot": Style("#D55E00", "^"),
}
_LINES = ("-", "--", ":", "-.")


class Ways(NamedTuple):
    """How utterances were decoded.

    Args:
      method: Of the search.
      settings: Of the method, as text.
      mode: Simulated or chunk-wise.
    """

    method: str
    settings: str
    mode: str

    @classmethod
    def of(cls, r: Result) -> Ways:
        return cls(r.method, r.settings_text, r.mode)

    @property
    def title(self) -> str:
        settings = f" ({self.settings.replace('_', ' ')})" if self.settings else ""
        return f"{self.method}{settings}, {self.mode}"


class Runs:
    """Experiments side by side.

    Args:
      experiments: The first one is the reference.

    Raises:
      RecipeError: They were not decoded on the same test sets.
    """

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self.experiments = list(experiments)
        self._check_same_tests()
        self.labels = self._make_labels()
        self.style = self._make_style()

    def _results(self) -> list[Result]:
        return [r for e in self.experiments for r in e.results]

    def _check_same_tests(self) -> None:
        first: dict[str, Result] = {}
        for r in self._results():
            other = first.setdefault(r.split, r)
            if (r.corpus, r.num_words, r.num_utts) != (
                *(other.corpus, other.num_words, other.num_utts),
            ):
                raise RecipeError(
                    f"{r.config} and {other.config} were decoded on different data: {r.split} of "
                    f"{r.corpus} with {r.num_words} words, of {other.corpus} with "
                    f"{other.num_words}; report them apart"
                )

    def _make_labels(self) -> dict[tuple[int, str], str]:
        """The system's name; with the seed or the folder where experiments share it."""
        pairs = [
            (number, system)
            for number, e in enumerate(self.experiments)
            for system in dict.fromkeys(r.system for r in e.results)
        ]
        named = {pair: pair[1] for pair in pairs}
        for more in (lambda e: f"seed {e.newest.seed}", lambda e: e.folder.name):
            shared = Counter(named.values())
            named = {
                pair: f"{name} ({more(self.experiments[pair[0]])})" if shared[name] > 1 else name
                for pair, name in named.items()
            }
        return named

    def _make_style(self) -> dict[str, Style]:
        """A colour for each system, and a line for each of its runs."""
        by_system = styles((r.system for r in self._results()), _FIXED)
        runs: Counter[str] = Counter()
        chosen = {}
        for (_, system), label in self.labels.items():
            line = _LINES[runs[system] % len(_LINES)]
            chosen[label] = dataclasses.replace(by_system[system], line=line)
            runs[system] += 1
        return chosen

    def label(self, experiment: Experiment, result: Result) -> str:
        """What a result's system is called here."""
        return self.labels[self.experiments.index(experiment), result.system]

    def systems_of(self, experiment: Experiment) -> dict[str, str]:
        """Systems of an experiment, and what they are called here."""
        number = self.experiments.index(experiment)
        return {system: label for (n, system), label in self.labels.items() if n == number}

    @property
    def reference(self) -> str:
        """What the model is called that differences are to."""
        first = self.experiments[0]
        whole = [r for r in first.results if r.subnet == DENSE]
        return self.label(first, whole[0]) if whole else first.folder.name

    def ways(self) -> list[Ways]:
        """How anything was decoded: chunk-wise first, then by method."""
        found = {Ways.of(r) for r in self._results()}
        return sorted(found, key=lambda w: (w.mode != CHUNK_WISE, w))

    def splits(self) -> dict[str, Result]:
        """The test sets in alphabetical order, each with any result of it."""
        found = {r.split: r for r in self._results()}
        return dict(sorted(found.items()))

    def points(self, ways: Ways, with_differences: bool = True) -> list[Point]:
        """Results of a way of decoding."""
        return [
            self._point(experiment, r, ways, with_differences)
            for experiment in self.experiments
            for r in experiment.results
            if Ways.of(r) == ways
        ]

    def one_shot(self, experiment: Experiment) -> list[str]:
        """Systems of an experiment, as they are called here, that its whole model is none of."""
        with_whole = {r.system for r in experiment.results if r.subnet == DENSE}
        systems = self.systems_of(experiment).items()
        return [label for system, label in systems if with_whole and system not in with_whole]

    def lines(self, ways: Ways) -> list[Point]:
        """As :meth:`points`, with the whole model also as the start of what was pruned from it."""
        points = self.points(ways, with_differences=False)
        for experiment in self.experiments:
            labels = self.systems_of(experiment).values()
            whole = [p for p in points if p.system in labels and p.subnet == DENSE]
            for label in self.one_shot(experiment):
                points += [dataclasses.replace(p, system=label) for p in whole]
        return points

    def networks(self, experiment: Experiment) -> dict[str, dict[str, Result]]:
        """Any result of each sub-network by name, for each system as it is called here."""
        whole = [r for r in experiment.results if r.subnet == DENSE][:1]
        found = {
            label: {r.subnet: r for r in experiment.results if r.system == system}
            for system, label in self.systems_of(experiment).items()
        }
        for label in self.one_shot(experiment):
            found[label].update({r.subnet: r for r in whole})
        return found

    def _point(self, experiment: Experiment, r: Result, ways: Ways, compare: bool) -> Point:
        return Point(
            self.label(experiment, r),
            r.subnet,
            r.split,
            r.num_params,
            r.num_nonzero,
            r.wer,
            r.wer_ci95[0],
            r.wer_ci95[1],
            self._difference(experiment, r, ways) if compare else None,
        )

    def _difference(self, experiment: Experiment, r: Result, ways: Ways) -> Difference | None:
        """To the reference on the same utterances; None where the texts are not at hand."""
        first = self.experiments[0]
        for other in first.results:
            same = Ways.of(other) == ways and other.split == r.split
            if same and other.subnet == DENSE and other is not r:
                a, b = first.utterances(other), experiment.utterances(r)
                if a is None or b is None:
                    return None
                d = paired_difference(*pair_up(a, b, first.folder.name, experiment.folder.name))
                return Difference(d.mean, d.low, d.high)
        return None
