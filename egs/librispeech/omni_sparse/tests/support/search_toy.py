# SPDX-License-Identifier: Apache-2.0
"""A search whose best networks are known, for the tests of searches."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from omni_plugin.search import Axis, Cost, Evaluator, ParetoSearch, Rung, SearchSettings, Space

#: Weights of each axis, and how much it harms to leave them out.
WEIGHTS = (40, 20, 20, 80, 80, 40)
HARM = (1.0, 8.0, 0.2, 3.0, 0.5, 6.0)
RUNGS = (Rung("loss", 1), Rung("loss", 2), Rung("wer", 2))
COST = Cost("params", "", 100, lambda axis, share: WEIGHTS[axis] * (1 - share))


def space(step: float = 0.1) -> Space:
    return Space([Axis(f"w{n}", weights, 0.9, step) for n, weights in enumerate(WEIGHTS)])


def harm(vector) -> float:
    return 1 + sum(h * share**2 for h, share in zip(HARM, vector, strict=True))


def measure(vector, metric: str, part: int) -> tuple[float, float]:
    """The loss is that of both parts together; the word errors are its double."""
    count = (10, 30)[part]
    return count * harm(vector) * (2 if metric == "wer" else 1) + (-1) ** part * 5, count


class Counting:
    """Counts what is measured; dies by SIGKILL in the middle of a measurement.

    Args:
      die_at: Which measurement it does not survive, from 1; None for none.
    """

    def __init__(self, die_at: int | None = None) -> None:
        self.die_at, self.measured = die_at, []

    def __call__(self, vector, metric, part):
        self.measured.append((vector, metric, part))
        if len(self.measured) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return measure(vector, metric, part)


def search(
    folder: Path, measure=measure, evaluations: int = 60, weights: str = "a1"
) -> ParetoSearch:
    settings = SearchSettings(evaluations, population=10, spread=0.3, sensitivity_levels=2)
    magnitude = [space().uniform(0.0), space().uniform(0.9)]
    return ParetoSearch(
        space(),
        COST,
        Evaluator(measure, folder / "scores.jsonl"),
        RUNGS,
        magnitude,
        settings,
        folder,
        {"weights": weights},
        tell=lambda line: None,
    )


if __name__ == "__main__":
    folder, die_at, worker = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    search(folder, Counting(die_at or None)).run(worker, 2)
