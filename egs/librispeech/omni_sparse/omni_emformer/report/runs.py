# SPDX-License-Identifier: Apache-2.0
"""Results of several experiments, gathered into systems and compared for a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from emformer.errors import RecipeError
from emformer.scoring.results import CHUNK_WISE, DENSE, Result
from omni_emformer.report.conditions import differences, same_updates
from omni_emformer.report.experiments import Experiment, Scores
from omni_emformer.report.networks import Network, Ways
from omni_plugin.report import Point, Style, styles

# These look the same in every report.
_FIXED = {
    "dense": Style("#000000", "o"),
    "omni": Style("#0072B2", "s"),
    "one_shot": Style("#D55E00", "^"),
    "calibrated": Style("#F0027F", "*"),
    "pruned": Style("#009E73", "D"),
    "chain": Style("#A6761D", "p"),
    "chain_long": Style("#AA4499", "d"),
    "nested": Style("#E31A1C", "^"),
    "grown": Style("#332288", "H"),
    "small_dense": Style("#CC79A7", "P"),
    "random_mask": Style("#E69F00", "X"),
    "dsnn": Style("#56B4E9", "v"),
    "simple_top_k": Style("#7A5C00", "<"),
    "iterative_zero_out": Style("#882255", ">"),
    "shallow": Style("#777777", "h"),
}


class Runs:
    """Experiments side by side: those of one system are its seeds and levels.

    Args:
      experiments: The first one is the reference.

    Raises:
      RecipeError: They were not decoded on the same test sets, or scored against other texts.
    """

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self.experiments = list(experiments)
        self._check_same_tests()
        self._labels = self._make_labels()
        by_system = styles((r.system for r in self._results()), _FIXED)
        self.style = {label: by_system[system] for (_, system), label in self._labels.items()}
        self._networks: dict[tuple[Ways, str], list[Network]] = {}

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
        self._check_same_references()

    def _check_same_references(self) -> None:
        """Older lines do not tell theirs: where all are such, the texts are compared later."""
        told = {r.split: r for r in self._results() if r.references}
        for e in self.experiments:
            for r in e.results:
                other = told.get(r.split, r)
                if other is not r and e.references(r) != other.references:
                    raise RecipeError(
                        f"{r.config} and {other.config} were scored against other references of "
                        f"{r.split} (normalised by {r.normalization or 'no rule'} and "
                        f"{other.normalization}); decode both again, or report them apart"
                    )

    def _make_labels(self) -> dict[tuple[int, str], str]:
        """The system's name; with the folder where two have the same network of a seed."""
        held = Counter(
            (system, *one)
            for e in self.experiments
            for system, *one in {(r.system, r.subnet, r.seed) for r in e.results}
        )
        twice = {system for (system, *_), times in held.items() if times > 1}
        return {
            (number, r.system): f"{r.system} ({e.folder.name})" if r.system in twice else r.system
            for number, e in enumerate(self.experiments)
            for r in e.results
        }

    # Systems.

    @property
    def systems(self) -> dict[str, list[Experiment]]:
        """Experiments of each system, by what it is called here."""
        found: dict[str, list[Experiment]] = {}
        for (number, _), label in self._labels.items():
            found.setdefault(label, []).append(self.experiments[number])
        return found

    def results_of(self, label: str) -> list[tuple[Experiment, Result]]:
        """All results of a system."""
        return [
            (e, r)
            for number, e in enumerate(self.experiments)
            for r in e.results
            if self._labels[number, r.system] == label
        ]

    @property
    def reference(self) -> str:
        """What the system is called that differences are to."""
        whole = [r for r in self.experiments[0].results if r.subnet == DENSE]
        return self._labels[0, (whole or self.experiments[0].results)[0].system]

    def is_untrained(self, label: str) -> bool:
        """Whether a system was only made of another one's training, such as one-shot pruning."""
        trained = {r.system for e in self.systems[label] for r in e.results if r.subnet == DENSE}
        own = {r.system for _, r in self.results_of(label)}
        return bool(trained) and not own & trained

    def unlike(self, label: str, other: str) -> list[str]:
        """In which settings trainings of two systems differ that are not the systems' own."""
        pairs = ((e, o) for e in self.systems[label] for o in self.systems[other])
        found = (text for e, o in pairs for text in differences(e.conditions, o.conditions))
        return list(dict.fromkeys(found))

    def set_apart(self) -> dict[str, list[str]]:
        """Systems that are not compared with the reference, and why."""
        found = {}
        whole = self.systems[self.reference][0].newest.train_updates
        for label, experiments in self.systems.items():
            reasons = self.unlike(label, self.reference)
            # How long a step of a chain is trained is the system's own doing.
            numbers = sorted({e.newest.train_updates for e in experiments if not e.goes_on})
            if not all(same_updates(number, whole) for number in numbers):
                reasons.append(f"{', '.join(f'{n:,}' for n in numbers)} updates of {whole:,}")
            if reasons and label != self.reference:
                found[label] = reasons
        return found

    def networks(self, label: str) -> dict[str, Result]:
        """Any result of each sub-network of a system, by name."""
        return {r.subnet: r for _, r in reversed(self.results_of(label))}

    # Results.

    def ways(self) -> list[Ways]:
        """How anything was decoded: chunk-wise first, then what decoded most networks."""
        found = {Ways.of(r): set() for r in self._results()}
        for r in self._results():
            found[Ways.of(r)].add((r.system, r.subnet))
        return sorted(found, key=lambda w: (w.mode != CHUNK_WISE, -len(found[w]), w))

    def splits(self) -> dict[str, Result]:
        """The test sets in alphabetical order, each with any result of it."""
        return dict(sorted({r.split: r for r in self._results()}.items()))

    def decoded(self, ways: Ways, split: str) -> list[Network]:
        """All networks that were decoded in a way."""
        if (ways, split) not in self._networks:
            self._networks[ways, split] = self._gather(ways, split)
        return self._networks[ways, split]

    def network(self, ways: Ways, split: str, label: str, subnet: str) -> Network | None:
        """One of :meth:`decoded`; None if it is not among them."""
        for one in self.decoded(ways, split):
            if (one.system, one.any.subnet) == (label, subnet):
                return one
        return None

    def _gather(self, ways: Ways, split: str) -> list[Network]:
        found: dict[tuple[str, str], dict[int, tuple[Experiment, Result]]] = {}
        for label in self.systems:
            for e, r in self.results_of(label):
                if Ways.of(r) == ways and r.split == split:
                    found.setdefault((label, r.subnet), {})[r.seed] = (e, r)
        networks = []
        first: tuple[Experiment, Scores] | None = None
        for (label, _), pairs in found.items():
            pairs = dict(sorted(pairs.items()))
            scores = [e.scores(r) for e, r in pairs.values()]
            known = all(s is not None for s in scores)
            for (e, _), s in zip(pairs.values(), scores, strict=True):
                first = first or (s and (e, s))
                if s is not None and (s.ids, s.references) != (first[1].ids, first[1].references):
                    what = "decoded other utterances of"
                    if s.ids == first[1].ids:
                        what = "were scored against other references of"
                    raise RecipeError(
                        f"{e.folder} and {first[0].folder} {what} {split}; report them apart"
                    )
            networks.append(
                Network(
                    label,
                    {seed: r for seed, (_, r) in pairs.items()},
                    np.stack([s.errors for s in scores]) if known else None,
                    np.stack([s.words for s in scores]) if known else None,
                )
            )
        return networks

    def points(self, ways: Ways, with_differences: bool = True) -> list[Point]:
        """Results of a way of decoding."""
        found = []
        apart = self.set_apart()
        for split in self.splits():
            whole = self.network(ways, split, self.reference, DENSE)
            for one in self.decoded(ways, split):
                own = with_differences and whole is not None and one is not whole
                own = own and one.system not in apart
                each = one.results.values()  # of layer selection, seeds may keep other units
                found.append(
                    Point(
                        one.system,
                        one.any.subnet,
                        split,
                        round(np.mean([r.num_params for r in each])),
                        round(np.mean([r.num_nonzero for r in each])),
                        one.rate.mean,
                        one.rate.low,
                        one.rate.high,
                        one.less(whole) if own else None,
                    )
                )
        return found

    def lines(self, ways: Ways) -> list[Point]:
        """As :meth:`points`, where lines without a whole model of their own begin at the dense."""
        points = self.points(ways, with_differences=False)
        begin = [p for p in points if p.system == self.reference and p.subnet == DENSE]
        for label in self.systems:
            networks = self.networks(label)
            if DENSE not in networks and len(networks) > 1:
                points += [replace(p, system=label) for p in begin]
        return points
