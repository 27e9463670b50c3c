# SPDX-License-Identifier: Apache-2.0
"""What the results say of the published claims.

A difference is that of two systems' mean word error rates over the sizes that both have, relative
to the second system's, paired over utterances and seeds. "Better" is reproduced where its 95 %
interval lies below zero, and not reproduced where it lies above. "On par" is reproduced where the
interval ends below :data:`ON_PAR`; it is not where the interval begins above zero otherwise, or
where that of any single size begins above :data:`ON_PAR`. What is neither is inside the noise. A
claim must hold on each test set. Where trainings are of different lengths, the claim says so, and
has a verdict only if the claim's own ones cost no more than the others. Systems that were trained
by other settings than their own are not compared, and no claim is reproduced by a network that says
next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from emformer.scoring.results import DENSE
from omni_emformer.report.conditions import same_updates
from omni_emformer.report.costs import cost_of
from omni_emformer.report.intervals import Interval, ratio_interval
from omni_emformer.report.networks import Ways
from omni_emformer.report.runs import Runs

#: The most that a network may be worse and still be on par, relative.
ON_PAR = 0.05
#: The most that a supernet's training may cost, in dense ones.
ONE_TRAINING = 1.1
#: With a higher word error rate (in percent) the reference has not learnt, and nothing is compared.
LEARNT = 50.0

REPRODUCED, NOT, NOISE = "reproduced", "not reproduced", "inside the noise"
#: Where the claim's own trainings are longer than the others', and cost more.
UNLIKE = "of unlike trainings"


@dataclass(frozen=True)
class Comparison:
    """Two systems at the same sizes.

    Args:
      system, other: What a claim is about, and what it is compared with.
      sizes: Their sub-networks, by what they are called in both.
      seeds: How many are compared.
      found: Relative difference of the word error rates by test set.
    """

    system: str
    other: str
    sizes: tuple[str, ...]
    seeds: int
    found: dict[str, Interval]

    @property
    def text(self) -> str:
        each = ", ".join(f"{split} {percent(found)}" for split, found in self.found.items())
        return f"{', '.join(self.sizes)} ({self.seeds} seed{'s' if self.seeds > 1 else ''}): {each}"


@dataclass(frozen=True)
class Verdict:
    """A claim on a system, and what was measured."""

    system: str
    claim: str
    measured: str
    verdict: str


def is_better(found: Interval) -> str:
    """Verdict on the claim that a difference is below zero."""
    if found.high < 0:
        return REPRODUCED
    return NOT if found.low > 0 else NOISE


def is_on_par(found: Interval) -> str:
    """Verdict on the claim that a difference is not above :data:`ON_PAR`."""
    if found.high < ON_PAR:
        return REPRODUCED
    return NOT if found.low > 0 else NOISE


def together(verdicts: Iterable[str]) -> str:
    """Verdict on a claim that must hold on each test set."""
    found = set(verdicts)
    if NOT in found:
        return NOT
    return REPRODUCED if found == {REPRODUCED} else NOISE


# Of a system, against another one: what is claimed, and how it is judged. "Ours" is unpublished.
_CLAIMS: list[tuple[str, str, str, Callable[[Interval], str]]] = [
    ("omni", "pruned", "better than models pruned one by one (2 to 6.6 %)", is_better),
    ("omni", "small_dense", "better than small dense models", is_better),
    ("omni", "random_mask", "better than random masks: ranking matters", is_better),
    ("chain", "pruned", "(ours) better than models pruned one by one", is_better),
    ("chain_long", "pruned", "(ours) better than models pruned one by one", is_better),
    ("nested", "pruned", "(ours) on par with models pruned one by one", is_on_par),
    ("dsnn", "pruned", "on par with models pruned one by one", is_on_par),
    ("simple_top_k", "dense", "its full size is on par with dense", is_on_par),
    ("simple_top_k", "shallow", "on par with dense models of fewer layers", is_on_par),
    ("iterative_zero_out", "dense", "its full size is on par with dense", is_on_par),
    ("iterative_zero_out", "shallow", "on par with dense models of fewer layers", is_on_par),
]


class Claims:
    """The published claims that a report's systems allow to check.

    Args:
      runs: The results.
      ways: How they were decoded.
    """

    def __init__(self, runs: Runs, ways: Ways) -> None:
        self.runs, self.ways = runs, ways

    def verdicts(self) -> list[Verdict]:
        """Of all claims whose systems are there."""
        found = [self._one_training(), *(self._judge(*claim) for claim in _CLAIMS)]
        return [one for one in found if one is not None]

    def by_size(self) -> list[Comparison]:
        """What :meth:`verdicts` compares, size by size."""
        return [one for a, b, *_ in _CLAIMS for one in self._each(a, b)]

    def _judge(self, a: str, b: str, text: str, judge: Callable[[Interval], str]) -> Verdict | None:
        found = self._compare(a, b, self._sizes(a, b))
        if found is None:
            return None
        verdict = together(map(judge, found.found.values()))
        mute, longer = self._mute(a), self._other_budget(a, b)
        if mute:
            return Verdict(a, text, f"mute: {', '.join(mute)}", NOT)
        if longer and cost_of(self.runs, a).whole_passes > cost_of(self.runs, b).whole_passes:
            return Verdict(a, text + longer, found.text, UNLIKE)
        each = [interval for one in self._each(a, b) for interval in one.found.values()]
        if judge is is_on_par and any(interval.low > ON_PAR for interval in each):
            verdict = NOT
        return Verdict(a, text + longer, found.text, verdict)

    def _one_training(self) -> Verdict | None:
        if not {"omni", "dense"} <= set(self.runs.systems) or self.runs.unlike("omni", "dense"):
            return None
        omni, dense = cost_of(self.runs, "omni"), cost_of(self.runs, "dense")
        share = omni.whole_passes / dense.whole_passes
        mute = self._mute("omni")
        holds = share <= ONE_TRAINING
        claim = f"all sizes cost at most {ONE_TRAINING} dense trainings, in passes"
        measured = (
            f"{omni.sizes} sizes: {share:.2f} (wall-clock {omni.seconds / dense.seconds:.2f})"
        )
        longer = self._other_budget("omni", "dense")
        if "pruned" in self.runs.systems:
            pruned = cost_of(self.runs, "pruned")
            separate = 1 + pruned.whole_passes / dense.whole_passes
            measured += f"; dense and {pruned.sizes} pruned models: {separate:.2f}"
            if longer:
                holds = share < separate
                claim = f"all sizes cost less than dense and pruned models, in passes{longer}"
        elif longer:  # what one dense training of another length costs says nothing
            return None
        if mute:
            measured += f"; mute: {', '.join(mute)}"
        return Verdict("omni", claim, measured, REPRODUCED if holds and not mute else NOT)

    def _mute(self, label: str) -> list[str]:
        """Sub-networks of a system that say next to nothing on any test set."""
        found = [one for split in self.runs.splits() for one in self.runs.decoded(self.ways, split)]
        named = (one.any.subnet for one in found if one.system == label and one.is_mute)
        return list(dict.fromkeys(named))

    def _other_budget(self, a: str, b: str) -> str:
        """What the published claims are not about: trainings of different lengths."""
        own, other = cost_of(self.runs, a), cost_of(self.runs, b)
        if same_updates(own.updates_each, other.updates_each):
            return ""
        return f"; here of {own.updates_each:,.0f} updates against {other.updates_each:,.0f}"

    def _sizes(self, a: str, b: str) -> list[str]:
        """Sub-networks that both have, from large to small; the whole model only against dense."""
        if not {a, b} <= set(self.runs.systems) or self.runs.unlike(a, b):
            return []
        if cost_of(self.runs, a) is None:  # the chain that it grows around is not here
            return []
        own, other = self.runs.networks(a), self.runs.networks(b)
        common = [name for name in own if name in other and (name != DENSE or b == "dense")]
        return sorted(common, key=lambda name: -own[name].num_nonzero)

    def _each(self, a: str, b: str) -> list[Comparison]:
        found = [self._compare(a, b, [size]) for size in self._sizes(a, b)]
        return [one for one in found if one is not None]

    def _compare(self, a: str, b: str, sizes: Sequence[str]) -> Comparison | None:
        """None if a network was not decoded, its texts are gone, or no seed is common to all.

        Nor where the reference has not learnt.
        """
        found = {}
        for split in self.runs.splits():
            own = [self.runs.network(self.ways, split, a, size) for size in sizes]
            others = [self.runs.network(self.ways, split, b, size) for size in sizes]
            everything = [*own, *others]
            if not sizes or any(one is None or one.errors is None for one in everything):
                return None
            if any(one.is_mute for one in others):  # to be better than that says nothing
                return None
            whole = self.runs.network(self.ways, split, self.runs.reference, DENSE)
            if whole is None or whole.rate.mean > LEARNT:
                return None
            seeds = sorted(set.intersection(*(set(one.results) for one in everything)))
            theirs = sum(one.of(seeds) for one in others)
            if not seeds or not theirs.sum():
                return None
            found[split] = ratio_interval(sum(one.of(seeds) for one in own) - theirs, theirs)
        return Comparison(a, b, tuple(sizes), len(seeds), found)


def percent(found: Interval) -> str:
    """A relative difference in percent, such as ``-3.1 % [-6.0, -0.2]``."""
    return f"{100 * found.mean:+.1f} % [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
