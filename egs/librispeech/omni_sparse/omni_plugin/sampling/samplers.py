# SPDX-License-Identifier: Apache-2.0
"""Which sub-networks an update trains."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omni_plugin.errors import OmniError
from omni_plugin.sampling.draws import LevelSpace, generator
from omni_plugin.sampling.ramp import Ramp
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
      ramp: How the highest one grows.
      total_updates: Of the run.
      seed: Of the draws.
      rank: This process among those of the run; only samplers that want different draws use it.
      options: The sampler's own settings, see :attr:`defaults`.

    Raises:
      OmniError: An option is unknown or impossible.
    """

    #: Settings of this sampler and their values if nothing is said.
    defaults: dict[str, Any] = {}

    def __init__(
        self,
        supernet: SuperNet,
        space: LevelSpace,
        ramp: Ramp,
        total_updates: int,
        seed: int = 0,
        rank: int = 0,
        **options: Any,
    ) -> None:
        for name, value in options.items():
            if name not in self.defaults:
                known = ", ".join(self.defaults) or "none"
                raise OmniError(f"{type(self).__name__} has no option {name!r}; known: {known}")
            kind = type(self.defaults[name])
            if type(value) not in ((int, float) if kind is float else (kind,)):
                raise OmniError(
                    f"{type(self).__name__}: option {name} is {value!r}; it must be of type "
                    f"{kind.__name__}"
                )
        self.supernet, self.space, self.ramp = supernet, space, ramp
        self.total_updates, self.seed, self.rank = total_updates, seed, rank
        self.options = {**self.defaults, **options}

    @abstractmethod
    def draw(self, rng: random.Random, limit: float) -> Sequence[Pass]:
        """Passes of an update in which nothing is sparser than ``limit`` (> 0), in order."""

    def passes(self, update: int) -> tuple[Pass, ...]:
        """Passes of an update, counted from 0; only the dense network before the ramp starts."""
        limit = self.limit(update)
        if limit == 0:
            return (Pass(self.dense()),)
        return tuple(self.draw(generator(self.seed, update), limit))

    def limit(self, update: int) -> float:
        """Highest sparsity in play at an update."""
        return self.space.max_sparsity * self.ramp(update / max(1, self.total_updates))

    def dense(self) -> SubNet:
        return self.supernet.subnet("dense")

    def sparsest(self, limit: float) -> SubNet:
        return self.supernet.subnet(limit, "sparsest")

    def between(self, rng: random.Random, limit: float) -> SubNet:
        """A sub-network of a random size up to ``limit``."""
        size = self.space.size(rng, limit)
        levels = self.space.layers(rng, size, self.supernet.layer_sizes, limit)
        return self.supernet.subnet(levels, f"{size:.2f}")

    def mixed(self, rng: random.Random, limit: float) -> SubNet:
        """Dense, sparsest or in between, by the shares in the options."""
        kind = rng.random()
        if kind < self.options["dense_share"]:
            return self.dense()
        if kind < self.options["dense_share"] + self.options["sparsest_share"]:
            return self.sparsest(limit)
        return self.between(rng, limit)

    def _check_shares(self) -> None:
        dense, sparsest = self.options["dense_share"], self.options["sparsest_share"]
        if min(dense, sparsest) < 0 or dense + sparsest > 1:
            raise OmniError(
                f"dense_share {dense} and sparsest_share {sparsest} must be shares of one whole"
            )


class SingleSampler(Sampler):
    """One sub-network an update, which costs what a dense update costs."""

    defaults = {"dense_share": 0.3, "sparsest_share": 0.2}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._check_shares()

    def draw(self, rng: random.Random, limit: float) -> Sequence[Pass]:
        return (Pass(self.mixed(rng, limit)),)


class PerRankSampler(SingleSampler):
    """One sub-network an update and rank: with N ranks an update trains N of them."""

    def draw(self, rng: random.Random, limit: float) -> Sequence[Pass]:
        own = generator(rng.getrandbits(62), self.rank)
        return (Pass(self.mixed(own, limit)),)


class SplitSampler(Sampler):
    """Several sub-networks an update, each on its own part of the batch, at the cost of one.

    What ``per-rank`` does over processes, within one: the dense network, then random ones.
    """

    defaults = {"parts": 2, "sparsest_share": 0.3, "dense_share": 0.0}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._check_shares()
        if self.options["parts"] < 2:
            raise OmniError(f"parts is {self.options['parts']}; a batch is split in 2 or more")

    def draw(self, rng: random.Random, limit: float) -> Sequence[Pass]:
        parts = self.options["parts"]
        others = [self.mixed(rng, limit) for _ in range(parts - 1)]
        return [
            Pass(subnet, part=(number, parts))
            for number, subnet in enumerate([self.dense(), *others])
        ]


class SandwichSampler(Sampler):
    """Dense, sparsest, and ``random`` sub-networks in between, on the whole batch each.

    The sandwich rule of Yu and Huang, "Universally slimmable networks", 2019. It costs as many
    dense updates as there are passes.
    """

    defaults = {"random": 1, "sparsest": True}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.options["random"] < 0:
            raise OmniError(f"random is {self.options['random']}; it must be 0 or more")

    def draw(self, rng: random.Random, limit: float) -> Sequence[Pass]:
        found = [self.dense()]
        if self.options["sparsest"]:
            found.append(self.sparsest(limit))
        found += [self.between(rng, limit) for _ in range(self.options["random"])]
        return [Pass(subnet, weight=1 / len(found)) for subnet in found]


SAMPLERS: dict[str, type[Sampler]] = {
    "single": SingleSampler,
    "per-rank": PerRankSampler,
    "split": SplitSampler,
    "sandwich": SandwichSampler,
}


def make_sampler(name: str, *args: Any, **options: Any) -> Sampler:
    """A sampler by its name in :data:`SAMPLERS`; further arguments as :class:`Sampler`'s.

    Raises:
      OmniError: No sampler is called so, or it refuses its options.
    """
    if name not in SAMPLERS:
        raise OmniError(f"sampler {name!r} is unknown; known: {', '.join(SAMPLERS)}")
    return SAMPLERS[name](*args, **options)
