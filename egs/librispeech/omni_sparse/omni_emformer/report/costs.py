# SPDX-License-Identifier: Apache-2.0
"""What the training of each system cost, for all of its sizes."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

from emformer.scoring.results import Result
from omni_emformer.report.runs import Runs


@dataclass(frozen=True)
class Cost:
    """Of a system, the mean over its seeds.

    Args:
      sizes: Networks that it gives.
      trainings: Needed for these.
      updates, passes: Of all trainings together.
      whole_passes: The passes, each as the share of one of the whole model over a whole batch that
        it is.
      seconds: Wall-clock.
    """

    sizes: int
    trainings: float
    updates: float
    passes: float
    whole_passes: float
    seconds: float

    @property
    def updates_each(self) -> float:
        """Of one training."""
        return self.updates / self.trainings


def cost_of(runs: Runs, label: str, sparsest: float = 1.0) -> Cost | None:
    """What a system cost; None if it has no training of its own, or that is not all here.

    What it goes on from is a part of it, a size and its training: the reference, or the chain that
    it grows around, as far as the core of that.

    Args:
      runs: The results.
      label: The system.
      sparsest: Trainings of sparser levels of a chain are left out.
    """
    if runs.is_untrained(label):
        return None
    experiments = [e for e in runs.systems[label] if e.level <= sparsest]
    if not experiments:
        return None
    trained: list[Result] = [e.newest for e in experiments]
    seeds = len({r.seed for r in trained})

    def mean(name: str) -> float:
        return sum(getattr(r, name) for r in trained) / seeds

    numbers = [mean(f"train_{name}") for name in ("updates", "passes", "cost", "seconds")]
    cost = Cost(len(runs.networks(label)), len(trained) / seeds, *numbers)
    if label == runs.reference or not any(e.goes_on for e in experiments):
        return cost
    around, core = experiments[0].around, experiments[0].core
    if around and around not in runs.systems:
        return None
    start = cost_of(runs, around, core) if around else cost_of(runs, runs.reference)
    if start is None:
        return None
    start = replace(start, sizes=1)  # of a chain the others are not its own
    return Cost(*(own + its for own, its in zip(astuple(cost), astuple(start), strict=True)))
