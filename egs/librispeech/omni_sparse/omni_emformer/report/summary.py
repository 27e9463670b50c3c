# SPDX-License-Identifier: Apache-2.0
"""The first lines of a report: three sentences, made from its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omni_emformer.report.costs import cost_of
from omni_emformer.report.networks import Network, Ways
from omni_emformer.report.runs import Runs

#: A small network has at most this share of the largest one's non-zero parameters.
SMALL = 0.5


def summary(runs: Runs, ways: Ways) -> str:
    """What is best of all networks, what of the small ones, and what all sizes of a system cost.

    Of those that were trained alike, and say anything. By mean word error rates, so that the first
    of two need not be better than the second: the intervals tell how sure it is.
    """
    apart = runs.set_apart()
    networks = {
        split: [n for n in runs.decoded(ways, split) if not n.is_mute and n.system not in apart]
        for split in runs.splits()
    }
    networks = {split: found for split, found in networks.items() if found}
    if not networks:
        return f"By {ways.title}, no network says anything that could be compared."
    most = SMALL * max(n.any.num_nonzero for found in networks.values() for n in found)
    small = {
        split: [n for n in found if n.any.num_nonzero <= most] for split, found in networks.items()
    }
    small = {split: found for split, found in small.items() if found}
    first = f"By {ways.title}, the lowest word error rate is {_best(networks)}."
    limit = f"{most:,.0f} non-zero parameters, {100 * SMALL:.0f} % of the largest network's"
    second = f"No network with at most {limit}, was compared."
    if small:
        second = f"With at most {limit}, it is {_best(small)}."
    return " ".join([first, second, _costs(runs)])


def _best(networks: Mapping[str, Sequence[Network]]) -> str:
    """The networks of the lowest rates, with these; said once where they are the same."""
    found: dict[str, list[str]] = {}
    for split, several in networks.items():
        one = min(several, key=lambda n: n.rate.mean)
        rate = f"{one.rate.mean:.2f} % [{one.rate.low:.2f}, {one.rate.high:.2f}] on {split}"
        found.setdefault(_name(one), []).append(rate)
    return "; ".join(f"that of **{name}**: {' and '.join(rates)}" for name, rates in found.items())


def _name(one: Network) -> str:
    subnet = one.any.subnet
    return one.system if subnet == one.system else f"{one.system} {subnet}"


def _costs(runs: Runs) -> str:
    whole = cost_of(runs, runs.reference)
    told = []
    for label in runs.systems:
        cost = cost_of(runs, label)
        if cost is not None and cost.sizes > 1:
            share = cost.whole_passes / whole.whole_passes
            told.append(f"{label} {share:.2f} ({cost.sizes} sizes)")
    if not told:
        return "No system was trained for more than one size."
    return f"All sizes together cost, in passes of one training of {runs.reference}: " + (
        ", ".join(told) + "."
    )
