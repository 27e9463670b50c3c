# SPDX-License-Identifier: Apache-2.0
"""Distillation in an unmodified recipe: logits are taken where its joiner gives them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from omni_plugin.distillation import distillation_loss, lattice_labels, lattice_mask
from omni_plugin.errors import OmniError
from omni_plugin.settings import DistillationSettings


class LatticeTap:
    """Taps the pruned lattice that a recipe's ``model.forward`` computes.

    N: batch size; T: frames; P: prune range; V: vocabulary; U: symbols.

    The teacher's prune ranges are kept, and k2 is made to give them to the students too, so that
    the logits of both, of shape ``(N, T, P, V)``, belong to the same cells.

    Args:
      model: With a module ``joiner``, and ``k2`` where its class is defined.
      settings: Which loss, and its weight.

    Raises:
      OmniError: The model has no joiner or does not use k2.
    """

    def __init__(self, model: nn.Module, settings: DistillationSettings) -> None:
        joiner, k2 = getattr(model, "joiner", None), k2_of(model)
        if not isinstance(joiner, nn.Module) or k2 is None:
            raise OmniError(
                "distillation: the recipe's model has no module joiner, or does not import k2; "
                "leave distillation out"
            )
        self.joiner, self.settings, self.k2 = joiner, settings, k2
        self._logits: Tensor | None = None
        self._teacher: Tensor | None = None
        self._ranges: Tensor | None = None
        self._lattice: dict[str, Tensor] = {}

    @contextmanager
    def running(self, teaches: bool) -> Iterator[None]:
        """Within it the full network runs, or else a sub-network on the full one's cells."""
        with self._tapped():
            yield
        if teaches:
            self._teacher = self._logits.detach()

    def loss(self) -> Tensor:
        """What the sub-network's loss gets beside its own: a sum over the lattice's real cells.

        The mean over the prune range, so that it is a sum over frames, as the recipe's loss is.
        """
        ranges, boundary = self._ranges, self._lattice["boundary"]
        mask = lattice_mask(ranges, boundary[:, 3], boundary[:, 2])
        labels = lattice_labels(self._lattice["symbols"], ranges)[mask]
        student, teacher = self._logits[mask], self._teacher[mask]
        cells = distillation_loss(self.settings.kind, student, teacher, labels)
        return self.settings.weight * cells.sum() / ranges.size(2)

    @contextmanager
    def _tapped(self) -> Iterator[None]:
        prune, pruned_loss = self.k2.get_rnnt_prune_ranges, self.k2.rnnt_loss_pruned

        def get_rnnt_prune_ranges(*args: Any, **options: Any) -> Tensor:
            if self._teacher is None:
                self._ranges = prune(*args, **options)
            return self._ranges

        def rnnt_loss_pruned(*args: Any, **options: Any) -> Tensor:
            self._lattice = {name: options[name] for name in ("symbols", "boundary")}
            return pruned_loss(*args, **options)

        def keep(module: nn.Module, args: Any, output: Tensor) -> None:
            self._logits = output

        hook = self.joiner.register_forward_hook(keep)
        self.k2.get_rnnt_prune_ranges = get_rnnt_prune_ranges
        self.k2.rnnt_loss_pruned = rnnt_loss_pruned
        try:
            yield
        finally:
            self.k2.get_rnnt_prune_ranges, self.k2.rnnt_loss_pruned = prune, pruned_loss
            hook.remove()
        if self._logits is None or self._ranges is None or not self._lattice:
            raise OmniError(
                "distillation: the recipe's model did not call joiner, k2.get_rnnt_prune_ranges "
                "and k2.rnnt_loss_pruned in forward; leave distillation out"
            )


def k2_of(model: nn.Module) -> ModuleType | None:
    """What the file of a model's class calls k2."""
    return getattr(sys.modules.get(type(model).__module__), "k2", None)
