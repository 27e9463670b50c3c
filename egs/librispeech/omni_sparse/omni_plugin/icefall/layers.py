# SPDX-License-Identifier: Apache-2.0
"""A session whose sub-networks have fewer layers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from omni_plugin.icefall.session import Compute, RandomState, Session
from omni_plugin.icefall.zipformer_layers import PassThrough, find_layers
from omni_plugin.layer_selection import LayerSelectionSettings, LayerTraining


class LayerSession(Session):
    """Training of numbers of layers; see :class:`Session`.

    Scores have an optimizer of their own: ScaledAdam keeps its state by the order and shapes of the
    model's parameters. It steps where the next update begins, since the recipe runs the last
    backward of an update.
    """

    def __init__(self, model: nn.Module, params: Mapping[str, Any]) -> None:
        super().__init__(model, params)
        settings = LayerSelectionSettings.from_dict(
            {
                "sizes": list(params["omni_layers"]),
                "selector": {"name": params["omni_layer_selector"]},
                "start": params["omni_ramp_start"],
                "end": params["omni_ramp_end"],
            }
        )
        self.layers = LayerTraining(
            model, find_layers(model), settings, 1, params["omni_seed"], PassThrough, batch_dim=1
        )
        self._optimizer = torch.optim.AdamW(self.layers.parameter_groups())
        logging.info("omni_plugin: sizes %s", ", ".join(self.layers.sizes))

    def _start(self, total_updates: int) -> None:
        self.layers.total_updates = total_updates
        # The recipe has moved the model by now.
        scores = self.layers.supernet.scores
        scores.data = scores.data.to(next(self.model.parameters()).device)

    def _state(self) -> dict[str, Any]:
        return {"layers": self.layers.state_dict(), "optimizer": self._optimizer.state_dict()}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self.layers.load_state_dict(state["layers"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _train(self, update: int, compute: Compute) -> tuple[Tensor, Any]:
        self._step_scores()
        numbers, infos = RandomState.of(self.model), []
        passes = self.layers.passes(update)
        for number, one in enumerate(passes):
            if number:
                numbers.restore()
            with self.layers.running(one):
                loss, info = compute()
            infos.append(info)
            # The recipe's loss is a sum over frames.
            loss = one.weight * loss + info["frames"] * self.layers.penalty(one)
            if number < len(passes) - 1:
                self._backward(loss)
        # Before the selection there is only the whole model.
        infos[0]["omni_smallest_loss"] = infos[min(1, len(infos) - 1)]["loss"]
        return loss, infos[0]

    def _step_scores(self) -> None:
        scores = self.layers.supernet.scores
        if scores.grad is not None and bool(scores.grad.isfinite().all()):
            # Adam's steps hardly depend on the scale that a GradScaler gave the gradient.
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def _validate(self, compute: Compute) -> tuple[Tensor, Any]:
        loss, info = compute()
        numbers = RandomState.of(self.model)
        for size in self.layers.sizes[1:]:
            with self.layers.running(self.layers.selection(size)):
                info[f"omni_loss_{size}"] = compute()[1]["loss"]
        numbers.restore()
        return loss, info
