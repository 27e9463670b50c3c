# SPDX-License-Identifier: Apache-2.0
"""Which sub-networks an update trains."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omni_plugin.errors import OmniError
from omni_plugin.options import named, with_defaults
from omni_plugin.sampling.draws import LevelSpace, generator
from omni_plugin.sampling.schedule import Schedule, Span
from omni_plugin.supernet import SubNet, SuperNet


@dataclass(frozen=True)
class Pass:
    """One forward and backward of an update.

    Args:
      subnet: What to run.
      weight: Of its loss in the update.
      part: ``(i, n)``: over the i-th of n parts of the batch; ``(0, 1)`` is all of it.
    """

    subnet: SubNet
    weight: float = 1.0
    part: tuple[int, int] = (0, 1)


class Sampler(ABC):
    """Draws the passes of each update as a function of (seed, update).

    A new sampler defines :meth:`draw` and a name in :data:`SAMPLERS`.

    Args:
      supernet: Its sub-networks are drawn.
      space: Sparsities that may be drawn.
      schedule: Which are in play when.
      total_updates: Of the run.
      seed: Of the draws.
      rank: This process among those of the run; only samplers that want different draws use it.
      options: The sampler's own settings, see :attr:`defaults`.

    Raises:
      OmniError: An option is unknown or impossible.
    """

    #: Settings of this sampler and their values if nothing is said.
    defaults: dict[str, Any] = {}
    #: Whether the full network's pass comes first, on the batch of the others: it can teach them.
    teaches = False

    def __init__(
        self,
        supernet: SuperNet,
        space: LevelSpace,
        schedule: Schedule,
        total_updates: int,
        seed: int = 0,
        rank: int = 0,
        **options: Any,
    ) -> None:
        self.supernet, self.space, self.schedule = supernet, space, schedule
        self.total_updates, self.seed, self.rank = total_updates, seed, rank
        self.options = self.complete(options)

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """All settings, with the defaults of those that are not given.

        Raises:
          OmniError: One is unknown, of another type, or impossible.
        """
        found = with_defaults(cls.__name__, cls.defaults, options)
        shares = _shares(found)
        if not all(share >= 0 for share in shares) or not sum(shares) <= 1:
            raise OmniError(
                "dense_share {} and sparsest_share {} must be shares of one whole".format(*shares)
            )
        return found

    @abstractmethod
    def draw(self, rng: random.Random, span: Span) -> Sequence[Pass]:
        """Passes of an update in which the sparsities of a span are in play, in order."""

    def passes(self, update: int) -> tuple[Pass, ...]:
        """Passes of an update, counted from 0; one where only one sparsity is in play."""
        span = self.span(update)
        if span.densest == span.sparsest:
            return (Pass(self.sparsest(span) if span.sparsest else self.densest(span)),)
        return tuple(self.draw(generator(self.seed, update), span))

    def span(self, update: int) -> Span:
        """Sparsities in play at an update."""
        return self.schedule(update / max(1, self.total_updates))

    def densest(self, span: Span) -> SubNet:
        return self.supernet.subnet(span.densest, "densest" if span.densest else "dense")

    def sparsest(self, span: Span) -> SubNet:
        return self.supernet.subnet(span.sparsest, "sparsest")

    def between(self, rng: random.Random, span: Span) -> SubNet:
        """A sub-network of a random size within a span."""
        size = self.space.size(rng, span)
        levels = self.space.layers(rng, size, self.supernet.layer_sizes, span)
        return self.supernet.subnet(levels, f"{size:.2f}")

    def mixed(self, rng: random.Random, span: Span) -> SubNet:
        """Densest, sparsest or in between, by the shares in the options."""
        dense, sparsest = _shares(self.options)
        kind = rng.random()
        if kind < dense:
            return self.densest(span)
        if kind < dense + sparsest:
            return self.sparsest(span)
        return self.between(rng, span)


def _shares(options: Mapping[str, Any]) -> tuple[float, float]:
    """Of the densest and of the sparsest among the sub-networks drawn at random."""
    return options.get("dense_share", 0.0), options.get("sparsest_share", 0.0)


class SingleSampler(Sampler):
    """One sub-network an update, which costs what a dense update costs.

    Options:
      dense_share: Share of the updates that train the densest sub-network in play.
      sparsest_share: Share that trains the sparsest; the others draw a size between the two.
    """

    defaults = {"dense_share": 0.3, "sparsest_share": 0.2}

    def draw(self, rng: random.Random, span: Span) -> Sequence[Pass]:
        return (Pass(self.mixed(rng, span)),)


class PerRankSampler(SingleSampler):
    """One sub-network an update and rank: with N ranks an update trains N of them."""

    def draw(self, rng: random.Random, span: Span) -> Sequence[Pass]:
        own = generator(rng.getrandbits(62), self.rank)
        return (Pass(self.mixed(own, span)),)


class SplitSampler(Sampler):
    """Several sub-networks an update, each on its own part of the batch, at the cost of one.

    What ``per-rank`` does over processes, within one: the densest network, then random ones. In
    a share ``whole_share`` of the updates, the densest network has the whole batch instead.

    Options:
      parts: Of a batch, each for a sub-network of its own.
      sparsest_share: Share of the draws, one for each part but the densest's, that take the
        sparsest.
      dense_share: Share of these draws that take the densest, too.
      whole_share: Share of the updates that train the densest alone, on the whole batch.
    """

    defaults = {"parts": 2, "sparsest_share": 0.3, "dense_share": 0.0, "whole_share": 0.0}

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        found = super().complete(options)
        if found["parts"] < 2:
            raise OmniError(f"parts is {found['parts']}; a batch is split in 2 or more")
        if not 0 <= found["whole_share"] <= 1:
            raise OmniError(f"whole_share is {found['whole_share']}; it must lie in [0, 1]")
        return found

    def draw(self, rng: random.Random, span: Span) -> Sequence[Pass]:
        whole = self.options["whole_share"]
        # Without it, the draws stay those of runs from before there was such an option.
        if whole and rng.random() < whole:
            return [Pass(self.densest(span))]
        parts = self.options["parts"]
        others = [self.mixed(rng, span) for _ in range(parts - 1)]
        return [
            Pass(subnet, weight=1 / parts, part=(number, parts))
            for number, subnet in enumerate([self.densest(span), *others])
        ]


class SandwichSampler(Sampler):
    """Densest, sparsest, and ``random`` other sub-networks, on the whole batch each.

    The sandwich rule of Yu and Huang, "Universally slimmable networks", 2019. It costs as many
    dense updates as there are passes. Cheaper by one pass: no ``sparsest`` in every update, but in
    a share ``sparsest_share`` of the others' places. Cheaper still: with ``parts`` above 1, the
    densest keeps the whole batch, and the others have one of so many parts of it, with as much
    weight in the update as their part has in the batch.

    Options:
      random: Sub-networks of an update beside the densest and the sparsest.
      sparsest: Whether each update trains the sparsest.
      sparsest_share: Share of the random places that the sparsest takes.
      parts: Parts of the batch, of which the others have one each; 1 for all of it.
    """

    defaults = {"random": 1, "sparsest": True, "sparsest_share": 0.0, "parts": 1}
    teaches = True

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        found = super().complete(options)
        if found["random"] < 0:
            raise OmniError(f"random is {found['random']}; it must be 0 or more")
        if found["parts"] < 1:
            raise OmniError(f"parts is {found['parts']}; it must be 1 or more")
        return found

    def draw(self, rng: random.Random, span: Span) -> Sequence[Pass]:
        found = [self.densest(span)]
        if self.options["sparsest"]:
            found.append(self.sparsest(span))
        # Without a share, the draws stay those of runs from before there was such an option.
        other = self.mixed if self.options["sparsest_share"] else self.between
        found += [other(rng, span) for _ in range(self.options["random"])]
        parts = self.options["parts"]
        weights = [1.0] + [1 / parts] * (len(found) - 1)
        return [
            Pass(subnet, weight / sum(weights), (number % parts, parts) if number else (0, 1))
            for number, (subnet, weight) in enumerate(zip(found, weights, strict=True))
        ]


SAMPLERS: dict[str, type[Sampler]] = {
    "single": SingleSampler,
    "per-rank": PerRankSampler,
    "split": SplitSampler,
    "sandwich": SandwichSampler,
}


def check_sampler(settings: Mapping[str, Any]) -> type[Sampler]:
    """The class of a sampler's settings, ``name`` and its options.

    Raises:
      OmniError: No sampler is called so, or it refuses its options.
    """
    options = dict(settings)
    found = named(SAMPLERS, "sampler", options.pop("name"))
    found.complete(options)
    return found


def make_sampler(name: str, *args: Any, **options: Any) -> Sampler:
    """A sampler by its name in :data:`SAMPLERS`; further arguments as :class:`Sampler`'s.

    Raises:
      OmniError: No sampler is called so, or it refuses its options.
    """
    return named(SAMPLERS, "sampler", name)(*args, **options)
