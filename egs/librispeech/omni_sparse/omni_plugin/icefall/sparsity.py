# SPDX-License-Identifier: Apache-2.0
"""A session whose sub-networks are sparsities."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn
from torch import distributed as dist

from omni_plugin.icefall.distillation import LatticeTap
from omni_plugin.icefall.options import settings_of
from omni_plugin.icefall.session import Compute, RandomState, Session
from omni_plugin.icefall.weights import Recurrent, kept_dense, masked
from omni_plugin.patterns import make_pattern
from omni_plugin.sampling import Pass
from omni_plugin.settings import SparsitySettings
from omni_plugin.supernet import SubNet
from omni_plugin.training import OmniTraining


def settings_for(model: nn.Module, settings: SparsitySettings) -> SparsitySettings:
    """The settings, with what is never pruned in a recipe's model among ``exclude``."""
    names = kept_dense(model, make_pattern(settings.pattern, settings.score))
    rules = [f"^{name}$".replace(".", r"\.") for name in names]
    return SparsitySettings.from_dict(
        {**settings.to_dict(), "exclude": [*settings.exclude, *rules]}
    )


class SparsitySession(Session):
    """Training of sparsities; see :class:`Session`."""

    def __init__(self, model: nn.Module, params: Mapping[str, Any]) -> None:
        super().__init__(model, params)
        self.recurrent = Recurrent(model)
        rank = dist.get_rank() if dist.is_initialized() else 0
        settings = settings_for(model, settings_of(params))
        with self.recurrent.hidden():
            self.omni = OmniTraining(model, settings, 1, seed=params["omni_seed"], rank=rank)
        logging.info("omni_plugin: %s", self.omni.supernet.coverage().splitlines()[0])

    def load(self, checkpoint: Mapping[str, Any]) -> None:
        self.omni.supernet.refresh_ranks()  # of the weights that were loaded
        super().load(checkpoint)

    def _start(self, total_updates: int) -> None:
        self.omni.total_updates = self.omni.sampler.total_updates = total_updates

    def _state(self) -> dict[str, Any]:
        return self.omni.state_dict()

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self.omni.load_state_dict(state)

    def _train(self, update: int, compute: Compute) -> tuple[Tensor, Any]:
        passes = self.omni.passes(update)
        if update % self.omni.settings.refresh_every == 0:
            names = ", ".join(one.subnet.name for one in passes)
            # A run that goes on with more epochs keeps its schedule.
            logging.info(
                "omni_plugin: update %d (scheduled to %d): %s", update, self.total_updates, names
            )
        if len(passes) == 1:
            loss, info = self._run(passes[0], compute)
            losses = [info]
        else:
            loss, losses = self._several(passes, compute, self.omni.distils(update))
            info = mean_metrics(losses, [one.weight for one in passes])
        sizes = [one.weight * self.omni.supernet.sparsity(one.subnet) for one in passes]
        info["omni_sparsity"] = sum(sizes) * info["frames"]
        if self.omni.sampler.teaches:
            # Where the ramp has not begun, both are the dense network's.
            info["omni_densest_loss"] = losses[0]["loss"]
            info["omni_sparsest_loss"] = losses[min(1, len(losses) - 1)]["loss"]
        return loss, info

    def _run(
        self, one: Pass | SubNet, compute: Compute, dropout: bool = True
    ) -> tuple[Tensor, Any]:
        with self.omni.running(one, dropout), masked(self.omni.supernet, self.recurrent):
            return compute()

    def _several(
        self, passes: tuple[Pass, ...], compute: Compute, distils: bool
    ) -> tuple[Tensor, list[Any]]:
        """Run passes, all with the same random numbers: dropout, and what chunk is drawn."""
        numbers, infos = RandomState.of(self.model), []
        tap = LatticeTap(self.model, self.omni.settings.distillation) if distils else None
        for number, one in enumerate(passes):
            if number:
                numbers.restore()
            teaches = tap is not None and number == 0
            dropout = not teaches or self.omni.settings.distillation.teacher_dropout
            with tap.running(teaches) if tap else nullcontext():
                loss, info = self._run(one, compute, dropout)
            if tap and not teaches:
                loss = loss + tap.loss()
            loss = one.weight * loss
            infos.append(info)
            if number < len(passes) - 1:
                self._backward(loss)
        return loss, infos

    def _validate(self, compute: Compute) -> tuple[Tensor, Any]:
        subnets = self.omni.valid_subnets
        loss, info = self._run(subnets[0.0], compute)
        numbers = RandomState.of(self.model)
        for level, subnet in subnets.items():
            if level:
                info[f"omni_loss_{level:.2f}"] = self._run(subnet, compute)[1]["loss"]
        numbers.restore()  # training goes on as it would without them
        return loss, info


def mean_metrics(infos: list[Any], weights: list[float]) -> Any:
    """Weighted means of metrics; exactly what it was where all passes agree, such as frames."""
    mean = type(infos[0])()
    for key in infos[0]:
        values = [info[key] for info in infos]
        same = all(value == values[0] for value in values)
        pairs = zip(values, weights, strict=True)
        mean[key] = values[0] if same else sum(value * weight for value, weight in pairs)
    return mean
