# SPDX-License-Identifier: Apache-2.0
"""Sums over batches, and log lines made from them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping


class LossMeter:
    """Sums of losses by name, and their means an encoder frame."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()

    def add(self, info: dict[str, float]) -> None:
        """Add what a loss function returned: sums by name, with their ``frames``."""
        self.sums.update(info)

    def means(self) -> dict[str, float]:
        """Mean an encoder frame by name, without ``frames``; nan where there was no frame."""
        return mean_losses(self.sums)

    def clear(self) -> None:
        self.sums.clear()


def mean_losses(sums: Mapping[str, float]) -> dict[str, float]:
    """Sums by name, among them ``frames``, to means an encoder frame; nan where there is none."""
    frames = sums.get("frames", 0) or math.nan
    return {name: value / frames for name, value in sums.items() if name != "frames"}


class StepTimer:
    """Wall time of training, and the share of it spent waiting for data."""

    def __init__(self) -> None:
        self.total = self.waiting = 0.0
        self._mark = time.perf_counter()

    @property
    def waiting_share(self) -> float:
        """:attr:`waiting` as a share of :attr:`total`; nan before the first step."""
        return self.waiting / self.total if self.total else math.nan

    def start(self) -> None:
        """Begin now; time since the last mark does not count (validation, checkpoints)."""
        self._mark = time.perf_counter()

    def data_arrived(self) -> None:
        self.waiting += self._lap()

    def step_done(self) -> None:
        self._lap()

    def _lap(self) -> float:
        now = time.perf_counter()
        elapsed, self._mark = now - self._mark, now
        self.total += elapsed
        return elapsed
