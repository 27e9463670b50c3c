# SPDX-License-Identifier: Apache-2.0
"""Growth: a sparse network that stays as it is, and what a denser one has beyond it.

Levels are trained one after the other, from the sparsest on, and what one has trained the next ones
keep, to the bit. So one set of weights holds them all, as a supernet does, and none disturbs
another. PackNet (Mallya and Lazebnik, CVPR 2018) adds tasks to a network in this way; here they are
sizes.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emformer.config import TrainingConfig
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_newest
from emformer.model import Transducer
from emformer.training.loss import Batch, Info, loss_scales, run_transducer, weigh_losses
from emformer.training.method import TrainingMethod
from omni_emformer.supernet.chain import TEACHER_COST, distance_to, network_of


class Core:
    """What a level keeps, and what it trains.

    It trains the weights that the denser network has and the sparser one has pruned, and the
    encoder's layer norms, which each level has for itself. All else is the sparser one's.

    Args:
      sparse: The network that stays as it is.
      dense: One that has all blocks of it, and more, in the encoder's linear layers, with values of
        its own; from these what grows sets out.

    Attributes:
      state: What training starts from.

    Raises:
      RecipeError: They are of unlike models; the one is no part of the other; nothing grows.
    """

    def __init__(self, sparse: Transducer, dense: Transducer) -> None:
        self.state = {name: value.clone() for name, value in sparse.state_dict().items()}
        self._grown: dict[str, Tensor] = {}  # which weights are trained, by name
        values = dense.state_dict()
        if _shapes(values) != _shapes(self.state):
            raise RecipeError("growth: its two networks are of unlike models")
        for name, module in sparse.encoder.named_modules(prefix="encoder"):
            if isinstance(module, nn.LayerNorm):
                for part, value in module.named_parameters():
                    self._grown[f"{name}.{part}"] = torch.ones_like(value, dtype=torch.bool)
            elif isinstance(module, nn.Linear):
                kept, further = module.weight.detach(), values[f"{name}.weight"]
                if bool(((kept != 0) & (further == 0)).any()):
                    raise RecipeError(f"growth: {name} of the core is no part of what it grows to")
                grown = (kept == 0) & (further != 0)
                if bool(grown.any()):
                    self._grown[f"{name}.weight"] = grown
                    self.state[f"{name}.weight"][grown] = further[grown]
        if all(grown.dim() == 1 for grown in self._grown.values()):
            raise RecipeError("growth: there is no weight beyond the core's")

    def bind(self, model: nn.Module) -> None:
        """Train what grows: all else has no gradient."""
        for name, parameter in model.named_parameters():
            grown = self._grown.get(name)
            parameter.requires_grad_(grown is not None)
            if grown is not None and not bool(grown.all()):
                kept = (~grown).to(parameter.device)
                parameter.register_hook(lambda gradient, kept=kept: gradient.masked_fill(kept, 0.0))

    @torch.no_grad()
    def restore(self, model: nn.Module) -> None:
        """Undo what momentum and weight decay have done to what is kept."""
        for name, parameter in model.named_parameters():
            if name in self._grown:
                kept = self.state[name].to(parameter.device)
                grown = self._grown[name].to(parameter.device)
                parameter.copy_(torch.where(grown, parameter, kept))


class GrowthMethod(TrainingMethod):
    """Trains what a level has beyond its core, taught by the encoder of the dense model.

    Args:
      config, total_updates: As :class:`TrainingMethod`.
      core: What it keeps.
      teacher: The dense model; it is not trained. None for no teacher.
      weight: Of what it teaches.
    """

    trains_all = False

    def __init__(
        self,
        config: TrainingConfig,
        total_updates: int,
        core: Core,
        teacher: Transducer | None = None,
        weight: float = 0.0,
    ) -> None:
        super().__init__(config, total_updates)
        self._core, self._weight, self._teacher = core, weight, None
        if teacher is not None:
            self._teacher = teacher.encoder.eval().requires_grad_(False)

    def wrap(self, model: nn.Module) -> nn.Module:
        self._core.bind(model)
        self._model = model
        if self._teacher is not None:
            self._teacher.to(next(model.parameters()).device)
        return model

    def cost(self, which: None) -> float:
        return super().cost(which) + (TEACHER_COST if self._teacher is not None else 0.0)

    def loss(self, model: nn.Module, batch: Batch, which: None, update: int) -> tuple[Tensor, Info]:
        out = run_transducer(model, batch, self.config)
        loss, info = weigh_losses(out, loss_scales(self.config, update, self.total_updates))
        if self._teacher is not None and torch.is_grad_enabled():
            loss = loss + self._weight * distance_to(self._teacher, batch, out, info)
        return loss, info

    def stepped(self) -> None:
        self._core.restore(self._model)


def load_core(start_from: Path, blocks_from: Path) -> Core:
    """The core of a level.

    Args:
      start_from: The experiment of the level before, or the chain's sparsest.
      blocks_from: The chain's experiment of the level itself; of the full size the dense one.

    Raises:
      RecipeError: As :class:`Core`; there is no such experiment.
    """
    return Core(network_of(start_from)[0], network_of(blocks_from)[0])


def start_growth(core: Core, exp_dir: Path, model: Transducer) -> None:
    """Give a new model the weights that it starts from, unless there is a checkpoint to go on from.

    Raises:
      RecipeError: The core is of another model.
    """
    if load_newest(exp_dir, lambda _: None) is not None:  # training tells of damage
        return
    if _shapes(core.state) != _shapes(model.state_dict()):
        raise RecipeError("--start-from: of another model or vocabulary")
    model.load_state_dict(core.state)
    logging.info("starts from its core, and grows around it")


def _shapes(state: dict[str, Any]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
