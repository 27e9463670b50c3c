# SPDX-License-Identifier: Apache-2.0
"""Networks on a test set, with the scores of all their seeds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from emformer.scoring.results import Result
from omni_emformer.report.intervals import Interval, ratio_interval
from omni_plugin.report import Difference

#: A network is mute where as large a share of the words is missing, or wrong.
MUTE = 0.95


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


@dataclass(frozen=True)
class Network:
    """A network of a system on a test set, decoded in one way.

    Args:
      system: What its system is called here.
      results: Of each seed, by seed, ascending.
      errors: Wrong words of each seed and utterance, of shape ``(S, U)``; None where texts are not
        at hand.
      words: Of the utterances, of shape ``(S, U)``, all rows alike.
    """

    system: str
    results: dict[int, Result]
    errors: np.ndarray | None
    words: np.ndarray | None

    @property
    def any(self) -> Result:
        """The first seed's."""
        return next(iter(self.results.values()))

    def of(self, seeds: Sequence[int]) -> np.ndarray:
        """:attr:`errors` of some seeds."""
        return self.errors[[list(self.results).index(seed) for seed in seeds]]

    @functools.cached_property
    def rate(self) -> Interval:
        """Word error rate in percent, the mean over the seeds."""
        if len(self.results) == 1:
            return Interval(self.any.wer, *self.any.wer_ci95)
        if self.errors is None:
            found = self.results.values()
            low, high = zip(*(r.wer_ci95 for r in found), strict=True)
            return Interval(float(np.mean([r.wer for r in found])), min(low), max(high))
        return ratio_interval(100 * self.errors, self.words)

    @property
    def missing(self) -> float:
        """Share of the references' words that hypotheses leave out, over all seeds."""
        found = self.results.values()
        return sum(r.del_ for r in found) / sum(r.num_words for r in found)

    @property
    def is_mute(self) -> bool:
        """Whether it says next to nothing, or nothing that is right."""
        return self.missing >= MUTE or self.rate.mean >= 100 * MUTE

    def less(self, other: Network) -> Difference | None:
        """Its rate minus that of another one, of seeds that both have; None without texts."""
        seeds = [seed for seed in self.results if seed in other.results]
        if not seeds or self.errors is None or other.errors is None:
            return None
        excess, theirs = self.of(seeds) - other.of(seeds), other.of(seeds)
        found = ratio_interval(100 * excess, self.words[: len(seeds)])
        share = float(excess.sum() / theirs.sum()) if theirs.any() else None
        return Difference(found.mean, found.low, found.high, share)
