# SPDX-License-Identifier: Apache-2.0
"""Supernet training at the trainer's seam."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emformer.config import TrainingConfig
from emformer.errors import RecipeError
from emformer.frontend import padding_mask
from emformer.model import TransducerOutput
from emformer.training.loss import Batch, Info, loss_scales, run_transducer, weigh_losses
from emformer.training.method import TrainingMethod
from omni_plugin import OmniError, OmniTraining, SparsitySettings
from omni_plugin.distillation import (
    ENCODER,
    distillation_loss,
    encoder_distance,
    lattice_labels,
    lattice_mask,
)
from omni_plugin.sampling import Pass


class OmniMethod(TrainingMethod):
    """Trains sub-networks of the model, each by its own pass.

    Args:
      config, total_updates: As :class:`TrainingMethod`.
      sparsity: Settings of the supernet.
      seed, rank: Of the draws.
    """

    def __init__(
        self,
        config: TrainingConfig,
        total_updates: int,
        sparsity: SparsitySettings,
        seed: int = 0,
        rank: int = 0,
    ) -> None:
        super().__init__(config, total_updates)
        self.sparsity, self.seed, self.rank = sparsity, seed, rank
        # What the full network gave for the batch of the update under way.
        self._teacher: TransducerOutput | None = None

    def wrap(self, model: nn.Module) -> nn.Module:
        try:
            self.omni = OmniTraining(model, self.sparsity, self.total_updates, self.seed, self.rank)
        except OmniError as e:
            raise RecipeError(f"sparsity: {e}") from e
        logging.info(self.omni.supernet.coverage())
        return self.omni.supernet

    def passes(self, update: int) -> Sequence[Pass]:
        self._teacher = None
        return self.omni.passes(update)

    def cost(self, which: Pass) -> float:
        return 1 / which.part[1]

    def loss(self, model: nn.Module, batch: Batch, which: Pass, update: int) -> tuple[Tensor, Info]:
        training = torch.is_grad_enabled()
        teaches = training and which.subnet.is_dense and self.omni.distils(update)
        teacher = None if teaches or not training else self._teacher
        if teacher is None:
            batch = _part(batch, *which.part)
        else:
            # The teacher's lattice may have more symbols than the longest utterance of the part.
            batch = _part(batch, *which.part, min_symbols=teacher.ranges.size(2) - 1)
            teacher = _taught(teacher, *which.part)
        scale = loss_scales(self.config, update, self.total_updates)
        dropout = not teaches or self.sparsity.distillation.teacher_dropout
        with self.omni.running(which, dropout):
            out = run_transducer(
                model, batch, self.config, None if teacher is None else teacher.ranges
            )
        loss, info = weigh_losses(out, scale)
        if teaches:
            self._teacher = TransducerOutput(*(value.detach() for value in out))
        elif teacher is not None:
            distilled = self._distillation(out, teacher, batch)
            info["distillation"] = distilled.detach() * info["frames"]
            loss = loss + self.sparsity.distillation.weight * distilled
        return which.weight * loss, info

    def _distillation(self, out: TransducerOutput, teacher: TransducerOutput, batch: Batch):
        """Divergence from the full network an encoder frame."""
        kind = self.sparsity.distillation.kind
        if kind == ENCODER:
            return distance_a_frame(out, teacher.encoder_out)
        cells = lattice_mask(out.ranges, out.encoder_lens, batch.symbol_lens)
        labels = lattice_labels(batch.symbols, out.ranges)
        each = distillation_loss(kind, out.logits, teacher.logits, labels)
        return each.masked_fill(~cells, 0.0).sum() / out.encoder_lens.sum()

    def validation_passes(self) -> dict[str, Pass]:
        return {
            f"_sparsity-{level:.2f}": Pass(subnet)
            for level, subnet in self.omni.valid_subnets.items()
        }

    def state_dict(self) -> dict[str, Any]:
        return self.omni.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        try:
            self.omni.load_state_dict(state)
        except OmniError as e:
            raise RecipeError(str(e)) from e


def distance_a_frame(out: TransducerOutput, aim: Tensor) -> Tensor:
    """Squared error of the encoder's outputs, a mean over channels and valid frames.

    Args:
      out: Of the student.
      aim: The teacher's encoder outputs, of shape ``(N, T, D)``.
    """
    each = encoder_distance(out.encoder_out, aim)
    padding = padding_mask(out.encoder_lens, aim)
    return each.masked_fill(padding, 0.0).sum() / out.encoder_lens.sum()


def _part(batch: Batch, number: int, parts: int, min_symbols: int = 0) -> Batch:
    """Every ``parts``-th utterance from the ``number``-th on, or all where one part had none."""
    if parts == 1 or len(batch.feature_lens) < parts:
        return batch
    tensors = (batch.features, batch.feature_lens, batch.symbols, batch.symbol_lens)
    x, x_lens, y, y_lens = (t[number::parts] for t in tensors)
    num_symbols = max(1, min_symbols, int(y_lens.max()))
    return Batch(x[:, : int(x_lens.max())], x_lens, y[:, :num_symbols], y_lens)


def _taught(teacher: TransducerOutput, number: int, parts: int) -> TransducerOutput:
    """What the full network gave for the utterances of :func:`_part`."""
    if parts == 1 or len(teacher.encoder_lens) < parts:
        return teacher
    own = TransducerOutput(*(value[number::parts] for value in teacher))
    frames = int(own.encoder_lens.max())
    return own._replace(
        ranges=own.ranges[:, :frames],
        logits=own.logits[:, :frames],
        encoder_out=own.encoder_out[:, :frames],
    )
