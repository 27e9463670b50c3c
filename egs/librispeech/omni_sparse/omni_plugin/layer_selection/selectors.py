# SPDX-License-Identifier: Apache-2.0
"""How units are selected while the model trains.

Both methods are of Xu et al., "Dynamic encoder size based on data-driven layer-wise pruning for
speech recognition", Interspeech 2024.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from omni_plugin.errors import OmniError
from omni_plugin.layer_selection.top_k import ascending, hard_top_k
from omni_plugin.options import named, with_defaults


class Selector(ABC):
    """Removes units in iterations, a few more in each, down to the smallest size.

    A score a unit, of shape ``(L,)``, says how much it is needed. A new selector defines
    :meth:`gates` and a name in :data:`SELECTORS`.

    Args:
      number: Units of the whole model, L.
      smallest: Units of the smallest size.
      remove: Units that an iteration removes more than the one before it.
      options: The selector's own settings, see :attr:`defaults`.

    Attributes:
      removed: Units that are settled to go, in the order in which they went; the only state.

    Raises:
      OmniError: An option is unknown or of another type.
    """

    #: Settings of this selector and their values if nothing is said.
    defaults: dict[str, Any] = {}

    def __init__(self, number: int, smallest: int, remove: int, **options: Any) -> None:
        self.number, self.smallest, self.remove = number, smallest, remove
        self.options = self.complete(options)
        self.removed: list[int] = []

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """All settings, with the defaults of those that are not given.

        Raises:
          OmniError: One is unknown, of another type, or impossible.
        """
        return with_defaults(cls.__name__, cls.defaults, options)

    @property
    def score_init(self) -> float:
        """Score that all units start with."""
        return self.options["score_init"]

    @property
    def iterations(self) -> int:
        return math.ceil((self.number - self.smallest) / self.remove)

    def num_removed(self, iteration: int) -> int:
        """Units that are removed in an iteration, counted from 0."""
        return min(self.remove * (iteration + 1), self.number - self.smallest)

    @abstractmethod
    def gates(self, scores: Tensor, iteration: int) -> Tensor:
        """Factors on the units' branches, of shape ``(L,)``, with a gradient to the scores."""

    def penalty(self, scores: Tensor, iteration: int) -> Tensor | float:
        """What the loss gets beside that of the gated network."""
        return 0.0

    def close(self, scores: Tensor, iteration: int) -> None:  # noqa: B027
        """End an iteration; may change the scores in place."""

    def ranking(self, scores: Tensor) -> list[int]:
        """Units in the order in which smaller sizes do without them, lowest scores first."""
        others = [unit for unit in ascending(scores).tolist() if unit not in self.removed]
        return self.removed + others


class SimpleTopK(Selector):
    """The units of the k highest scores, straight through, where k falls in each iteration.

    A unit that is out gets the gradient that its being in would have, and can come back.

    Options:
      score_init: Score that all units start with.
    """

    defaults = {"score_init": 0.5}

    def gates(self, scores: Tensor, iteration: int) -> Tensor:
        return hard_top_k(scores, self.number - self.num_removed(iteration))


class IterativeZeroOut(Selector):
    """Gates ``sigmoid(score)``, drawn to a growing sparsity; the lowest are then set to zero.

    In iteration i, ``penalty_weight * |1 - mean(sigmoid(scores)) - n_i / L|`` is added to the loss.
    At its end the n_i lowest scores are set to ``zero_out``; they may grow again. Sizes between
    follow the order in which units were set to zero, since scores that were set say nothing more.

    Options:
      score_init: Score that all units start with.
      zero_out: Score that an iteration's end gives to the lowest.
      penalty_weight: Of the distance from the iteration's sparsity, in the loss.
    """

    # Published is a start of 10; at a rate of 0.01 that is a thousand updates away from 0.
    defaults = {"score_init": 4.0, "zero_out": -5.0, "penalty_weight": 5.0}

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        found = super().complete(options)
        if not 0 <= found["penalty_weight"] < math.inf:
            raise OmniError(f"penalty_weight is {found['penalty_weight']}; it must be >= 0")
        return found

    def gates(self, scores: Tensor, iteration: int) -> Tensor:
        return scores.sigmoid()

    def penalty(self, scores: Tensor, iteration: int) -> Tensor:
        wanted = self.num_removed(iteration) / self.number
        return self.options["penalty_weight"] * (1 - scores.sigmoid().mean() - wanted).abs()

    @torch.no_grad()
    def close(self, scores: Tensor, iteration: int) -> None:
        lowest = ascending(scores)[: self.num_removed(iteration)].tolist()
        stay = [unit for unit in self.removed if unit in lowest]
        self.removed = stay + [unit for unit in lowest if unit not in stay]
        scores[lowest] = self.options["zero_out"]


SELECTORS: dict[str, type[Selector]] = {
    "simple_top_k": SimpleTopK,
    "iterative_zero_out": IterativeZeroOut,
}


def check_selector(settings: Mapping[str, Any]) -> None:
    """Raises OmniError where no selector is called so, or it refuses its options."""
    options = dict(settings)
    named(SELECTORS, "selector", options.pop("name")).complete(options)


def make_selector(name: str, *args: Any, **options: Any) -> Selector:
    """A selector by its name in :data:`SELECTORS`; further arguments as :class:`Selector`'s.

    Raises:
      OmniError: No selector is called so, or it refuses its options.
    """
    return named(SELECTORS, "selector", name)(*args, **options)
