# SPDX-License-Identifier: Apache-2.0
"""Counts what is wrong with a corpus, names each case, and decides when it is too much."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from emformer.errors import RecipeError

MAX_NAMED = (
    50  # a corpus of 281,241 utterances can be wrong 281,241 times; the counts stay complete
)


@dataclass
class BadItems:
    """A list of what is left out.

    >>> bad = BadItems("train")
    >>> bad.add("stereo", "utt-1", "a.flac")
    >>> bad.add("unreadable", "utt-2", "b.flac")
    >>> bad.summary(total=40)
    'train: skipped 2 of 40: 1 stereo, 1 unreadable'

    Attributes:
        where: the split or corpus, first word of every line.
        items: (reason, utterance, path or detail).
    """

    where: str
    items: list[tuple[str, str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.items)

    def add(self, reason: str, name: str, path: object = "") -> None:
        self.items.append((reason, str(name), str(path)))

    def counts(self) -> dict[str, int]:
        """Reason to number of cases, by name, so that two runs print the same line."""
        return dict(sorted(Counter(reason for reason, _, _ in self.items).items()))

    def summary(self, total: int) -> str:
        line = f"{self.where}: skipped {len(self)} of {total}"
        reasons = ", ".join(f"{n} {reason}" for reason, n in self.counts().items())
        return f"{line}: {reasons}" if reasons else line

    def report(self, total: int, max_fraction: float) -> None:
        """Log every case by name and the summary line.

        Raises:
            RecipeError: more than ``max_fraction`` of ``total`` is bad.
        """
        for reason, name, path in self.items[:MAX_NAMED]:
            logging.warning("%s: %s: %s%s", self.where, reason, name, f" ({path})" if path else "")
        if len(self) > MAX_NAMED:
            logging.warning("%s: ... and %d more", self.where, len(self) - MAX_NAMED)
        if self.items:
            logging.warning("%s", self.summary(total))
        if len(self) > max_fraction * total:
            raise RecipeError(
                f"{self.summary(total)}; that is more than --max-bad-fraction {max_fraction:g}, "
                "mend the corpus or raise the limit"
            )
