# SPDX-License-Identifier: Apache-2.0
"""Layer selection at the trainer's seam, alone or with weight sparsity."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from emformer.config import TrainingConfig
from emformer.errors import RecipeError
from emformer.training.loss import Batch, Info
from emformer.training.method import TrainingMethod
from omni_emformer.supernet.layer_model import make_layers
from omni_emformer.supernet.method import OmniMethod
from omni_plugin import OmniError, SparsitySettings, SuperNet
from omni_plugin.layer_selection import LayerPass, LayerSelectionSettings, LayerSupernet, Selection


@dataclass(frozen=True)
class MethodPass:
    """A pass.

    Args:
      layers: The layers that it has.
      inner: What the method beneath runs with them.
      first: Whether it is the first pass with these layers in its update.
    """

    layers: LayerPass
    inner: Any
    first: bool = True


class LayerMethod(TrainingMethod):
    """Trains sub-networks of fewer residual units, and with ``sparsity`` sparse ones of each.

    Every selection of layers goes through the passes that dense or supernet training has in the
    update, so there are as many as the product of both.

    Args:
      config, total_updates: As :class:`TrainingMethod`.
      layers: Settings of the selection.
      sparsity: Settings of a supernet; None for dense sub-networks.
      seed, rank: Of the draws.
    """

    # A pass leaves out weights of units, of other sizes' heads, or the scores.
    trains_all = False

    def __init__(
        self,
        config: TrainingConfig,
        total_updates: int,
        layers: LayerSelectionSettings,
        sparsity: SparsitySettings | None = None,
        seed: int = 0,
        rank: int = 0,
    ) -> None:
        super().__init__(config, total_updates)
        self.settings, self.seed = layers, seed
        self.inner = (
            TrainingMethod(config, total_updates)
            if sparsity is None
            else OmniMethod(config, total_updates, sparsity, seed, rank)
        )

    def wrap(self, model: nn.Module) -> nn.Module:
        self.layers = make_layers(model, self.settings, self.total_updates, self.seed)
        supernet = self.layers.supernet
        share = 1 - supernet.share(Selection("", (False,) * len(supernet.units)))
        logging.info(f"{len(supernet.units)} units with {share:.1%} of the model's parameters")
        inner = self.inner.wrap(model)
        return supernet if inner is model else Masked(supernet, inner)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return self.layers.parameter_groups()

    def passes(self, update: int) -> Sequence[MethodPass]:
        layers = self.layers.passes(update)
        if update == self.layers.settled_at:
            self._tell()
        inner = self.inner.passes(update)
        return [
            MethodPass(one, other, first=number == 0)
            for one in layers
            for number, other in enumerate(inner)
        ]

    def _tell(self) -> None:
        """Log what each size has."""
        for size in self.layers.sizes:
            selection = self.layers.selection(size)
            names = zip(self.layers.supernet.unit_names, selection.keep, strict=True)
            logging.info(f"{size}: {' '.join(name for name, kept in names if kept)}")

    def cost(self, which: MethodPass) -> float:
        return self.layers.supernet.share(which.layers.selection) * self.inner.cost(which.inner)

    def loss(
        self, model: nn.Module, batch: Batch, which: MethodPass, update: int
    ) -> tuple[Tensor, Info]:
        with self.layers.running(which.layers):
            loss, info = self.inner.loss(model, batch, which.inner, update)
        loss = which.layers.weight * loss
        return loss + self.layers.penalty(which.layers) if which.first else loss, info

    def validation_passes(self) -> dict[str, MethodPass]:
        return {
            f"_{size}{name}": MethodPass(LayerPass(self.layers.selection(size)), one)
            for size in self.layers.trained_sizes
            for name, one in self.inner.validation_passes().items()
        }

    def state_dict(self) -> dict[str, Any]:
        return {"layers": self.layers.state_dict(), "inner": self.inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "layers" not in state:
            raise RecipeError(
                "the checkpoint is of no layer selection; use another experiment folder"
            )
        try:
            self.layers.load_state_dict(state["layers"])
        except OmniError as e:
            raise RecipeError(str(e)) from e
        self.inner.load_state_dict(state["inner"])


class Masked(nn.Module):
    """A layer selection whose model runs under a supernet's masks."""

    def __init__(self, layers: LayerSupernet, supernet: SuperNet) -> None:
        super().__init__()
        self.layers, self.supernet = layers, supernet

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self.supernet.masked():
            return self.layers(*args, **kwargs)
