# SPDX-License-Identifier: Apache-2.0
"""The optimizer and its learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import AdamW

from emformer.config import TrainingConfig
from emformer.model import Transducer
from emformer.training.muon import MuonAdamW

_BETAS = 0.9, 0.98


def make_optimizer(model: Transducer, config: TrainingConfig) -> AdamW:
    """The configuration's optimizer.

    Weight decay is on matrices only (not on biases, norms, or embeddings). Muon has the matrices of
    the encoder's layers: it is not meant for those that read features or give scores of symbols.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    hidden = set()
    if config.optimizer == "muon":
        layers = model.encoder.emformer.modules()
        hidden = {id(m.weight) for m in layers if isinstance(m, nn.Linear)}
    decayed = [p for p in model.parameters() if p.dim() > 1 and id(p) not in embeddings]
    others = [p for p in model.parameters() if p.dim() <= 1 or id(p) in embeddings]
    decay = config.weight_decay
    groups = [
        {"params": [p for p in decayed if id(p) not in hidden], "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if hidden:
        matrices = [p for p in decayed if id(p) in hidden]
        groups.append({"params": matrices, "weight_decay": decay, "muon": True})
    if config.outer_lr_scale != 1:
        groups = _scale_outer(groups, model, config)
    if not hidden:
        return AdamW(groups, lr=config.base_lr, betas=_BETAS)
    return MuonAdamW(groups, config.base_lr, _BETAS, config.muon_momentum)


def _scale_outer(
    groups: list[dict[str, Any]], model: Transducer, config: TrainingConfig
) -> list[dict[str, Any]]:
    """Each group in two: the encoder's layers, and the rest with a learning rate of its own."""
    layers = {id(p) for p in model.encoder.emformer.parameters()}
    rate = config.base_lr * config.outer_lr_scale
    found = []
    for group in groups:
        inner = [p for p in group["params"] if id(p) in layers]
        outer = [p for p in group["params"] if id(p) not in layers]
        found += [{**group, "params": inner}, {**group, "params": outer, "base_lr": rate}]
    return [group for group in found if group["params"]]


def learning_rate_factor(config: TrainingConfig, update: int, total_updates: int) -> float:
    """Share of ``base_lr`` at an update: linear warm-up, then half a cosine to the final share.

    See Loshchilov & Hutter, "SGDR", ICLR 2017. After ``total_updates`` it stays at the final share.
    """
    warmup = max(1.0, config.warmup_fraction * total_updates)
    if update < warmup:
        return (update + 1) / (warmup + 1)
    progress = min(1.0, (update - warmup) / max(1.0, total_updates - warmup))
    final = config.final_lr_fraction
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


class Scheduler:
    """The schedule of :func:`learning_rate_factor`, stepped once an update.

    A parameter group's own ``base_lr`` stands in place of the configuration's. Not torch's
    LambdaLR, which warns where a run goes on or where its first batch is skipped.

    Args:
      optimizer: Its learning rate is set.
      config: ``base_lr`` and the shape of the schedule.
      total_updates: Updates of the whole run.
    """

    def __init__(self, optimizer: AdamW, config: TrainingConfig, total_updates: int) -> None:
        self._optimizer, self._config, self._total_updates = optimizer, config, total_updates
        self.go_to(0)

    def step(self) -> None:
        self.go_to(self.update + 1)

    def go_to(self, update: int) -> None:
        """Set the learning rate of an update, counted from 0."""
        self.update = update
        factor = learning_rate_factor(self._config, update, self._total_updates)
        self.rate = self._config.base_lr * factor
        for group in self._optimizer.param_groups:
            group["lr"] = group.get("base_lr", self._config.base_lr) * factor
