# SPDX-License-Identifier: Apache-2.0
"""One covered weight under its mask."""

from __future__ import annotations

import torch
from torch import Tensor

from omni_plugin.patterns import RANDOM, Pattern
from omni_plugin.supernet.coverage import CoveredWeight


class MaskedWeight:
    """A dense weight, the ranking of its blocks, and its present level.

    What is kept beside the weight: the ranks, the mask of the present level (a number a block),
    and, once the model was run without gradients, one masked copy, which later levels overwrite.

    Args:
      weight: The covered weight.
      pattern: Forms its blocks.
    """

    def __init__(self, weight: CoveredWeight, pattern: Pattern) -> None:
        self.weight, self.pattern = weight, pattern
        self.level = 0.0
        self.ranks = pattern.rank_weight(weight.parameter)
        self._keep: Tensor | None = None
        self._copy: Tensor | None = None

    def __getstate__(self) -> dict:
        # The copy can be made again; it need not double a pickle.
        return {**self.__dict__, "_copy": None}

    @property
    def parameter(self) -> Tensor:
        return self.weight.parameter

    def set_level(self, level: float) -> None:
        if level != self.level:
            self.level = level
            self._keep = None

    def refresh(self) -> None:
        """Rank the blocks by the dense weight as it is now; a random ranking stays."""
        if self.pattern.norm != RANDOM:
            self.set_ranks(self.pattern.rank_weight(self.parameter))

    def set_ranks(self, ranks: Tensor) -> None:
        self.ranks = ranks
        self._keep = None

    def mask(self, level: float | None = None) -> Tensor:
        """Mask of the weight's shape at a level, by default the present one."""
        keep = self.keep() if level is None else self._keep_at(level)
        return self.pattern.expand(keep, self.weight.shape)

    def keep(self) -> Tensor:
        """1 for each kept block at the present level, else 0, of the weight's dtype."""
        kept = self._keep
        if (
            kept is None
            or kept.device != self.parameter.device
            or kept.dtype != self.parameter.dtype
        ):
            # A tensor made in inference mode could not be used outside of it later.
            with torch.inference_mode(False):
                self._keep = self._keep_at(self.level)
        return self._keep

    def product(self) -> Tensor:
        """The masked weight as a fresh tensor, differentiable."""
        return self.pattern.apply(self.parameter, self.keep())

    def copy(self) -> Tensor:
        """The masked weight in a tensor that is written anew at each call; without gradients."""
        copy, parameter = self._copy, self.parameter
        if copy is None or copy.device != parameter.device or copy.dtype != parameter.dtype:
            with torch.inference_mode(False):
                self._copy = copy = torch.empty_like(parameter)
        copy.copy_(parameter)
        # The mask within blocks only: what lies outside of them is never pruned.
        self.pattern.blocks(copy).mul_(self.keep()[:, None, :, None])
        # torch 2 chooses kernels by requires_grad even where gradients are off. A view: autocast
        # would go on using what it once cast of the copy itself.
        with torch.inference_mode(False), torch.enable_grad():
            return copy.requires_grad_(parameter.requires_grad).view_as(copy)

    def _keep_at(self, level: float) -> Tensor:
        if self.ranks.device != self.parameter.device:
            self.ranks = self.ranks.to(self.parameter.device)
        return self.pattern.keep(self.ranks, level).to(self.parameter.dtype)
