# SPDX-License-Identifier: Apache-2.0
"""Settings of a layer selection, as a configuration file holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omni_plugin.errors import OmniError
from omni_plugin.layer_selection.selectors import check_selector
from omni_plugin.options import called, check_fields, check_rules, checked, plain, said_of


@dataclass(frozen=True)
class LayerSelectionSettings:
    """How units are selected and their sub-networks trained.

    Args:
      selector: ``name`` and its options, see :mod:`omni_plugin.layer_selection.selectors`.
      sizes: Units of the smaller sub-networks: shares below 1 of all units, or numbers of them.
      remove: Units that an iteration of the selection removes more than the one before it.
      start: Share of the run before which the whole model is trained alone; a loss with a warm-up
        should be past it.
      end: Share of the run at which the selection ends, and all sizes are trained from then on.
      score_lr: Peak learning rate of the scores, which move by up to this much an update. It
        follows the schedule of the weights' rate.
      subnet_weight: Of a sub-network's loss beside the whole model's.
      layer_drop: From ``end`` on, probability that the whole model's pass does without a unit
        outside the smallest size, for each row of the batch.
      heads: Rules on the names of modules of which each size has a copy of its own.
    """

    selector: Mapping[str, Any] = field(default_factory=lambda: {"name": "simple_top_k"})
    sizes: tuple[float, ...] = (1 / 3, 2 / 3)
    remove: int = 1
    start: float = 0.1
    end: float = 0.62
    score_lr: float = 0.01
    subnet_weight: float = 0.3
    layer_drop: float = 0.3
    heads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "layers")
        if not 0 <= self.start <= self.end <= 1:
            raise OmniError(
                f"layers.start {self.start} and layers.end {self.end}: needs 0 <= start <= end <= 1"
            )
        if self.remove < 1:
            raise OmniError(f"layers.remove is {self.remove}; it must be >= 1")
        if not 0 <= self.layer_drop < 1:
            raise OmniError(f"layers.layer_drop is {self.layer_drop}; it must lie in [0, 1)")
        for name in ("score_lr", "subnet_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OmniError(f"layers.{name} is {getattr(self, name)}; it must be >= 0")
        if not self.sizes:
            raise OmniError("layers.sizes is empty; give the sizes to train beside the whole model")
        if not all(0 < size < math.inf for size in self.sizes):
            raise OmniError(f"layers.sizes is {list(self.sizes)}; all must be above 0 and finite")
        check_rules(self.heads, "layers.heads")
        with said_of("layers.selector"):
            check_selector(self.selector)

    def counts(self, number: int) -> list[int]:
        """Units of each size but the whole model, ascending.

        Args:
          number: Units of the whole model.

        Raises:
          OmniError: A size is none, or two are the same.

        >>> LayerSelectionSettings(sizes=(0.5, 4)).counts(12)
        [4, 6]
        """
        counts = sorted(_count(size, number) for size in self.sizes)
        if len(set(counts)) < len(counts):
            raise OmniError(f"layers.sizes {list(self.sizes)}: two mean {counts} of {number} units")
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Plain types, with lists for tuples."""
        return plain(self)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any] | None, where: str = "layers"
    ) -> LayerSelectionSettings:
        """Settings of plain types, as a YAML file gives them.

        Raises:
          OmniError: An unknown key or a value of another type; ``where`` says where it stands.
        """
        with called("layers", where):
            return cls(**checked(cls, data or {}, "layers"))


def _count(size: float, number: int) -> int:
    count = round(size * number) if size < 1 else size
    if count != int(count) or not 1 <= count < number:
        raise OmniError(
            f"layers.sizes has {size}; a size is a share of the {number} units or a number of "
            f"them, 1 to {number - 1}"
        )
    return int(count)
