# SPDX-License-Identifier: Apache-2.0
"""Sums over batches, and log lines made from them."""

from __future__ import annotations

import time
from collections import Counter


class LossMeter:
    """Sums of losses by name, and their means an encoder frame."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()

    def add(self, info: dict[str, float]) -> None:
        """Add what a loss function returned: sums by name, with their ``frames``."""
        self.sums.update(info)

    def means(self) -> dict[str, float]:
        """Mean an encoder frame by name, without ``frames``."""
        frames = max(1, self.sums["frames"])
        return {name: v / frames for name, v in self.sums.items() if name != "frames"}

    def clear(self) -> None:
        self.sums.clear()


class StepTimer:
    """Wall time of training, and the share of it spent waiting for data."""

    def __init__(self) -> None:
        self.total = self.waiting = 0.0
        self._mark = time.perf_counter()

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
