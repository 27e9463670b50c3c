# SPDX-License-Identifier: Apache-2.0
"""The training loss: simple and pruned RNN-T losses with a warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emformer.config import TrainingConfig
from emformer.model import TransducerOutput

#: Sums over a batch's encoder frames by name, and ``frames``: scalars on the device, and numbers.
Info = dict[str, Tensor | float]


@dataclass(frozen=True)
class Batch:
    """A batch: features and symbols on the model's device, lengths best on the CPU.

    The host must know the lengths, and would have to wait for a device that has them.

    Args:
      features: Log-mel features of shape ``(N, num_frames, F)``.
      feature_lens: Valid frames (100 Hz), of shape ``(N,)``.
      symbols: Token ids of shape ``(N, U)``, padded with blank.
      symbol_lens: Valid symbols, of shape ``(N,)``.
    """

    features: Tensor
    feature_lens: Tensor
    symbols: Tensor
    symbol_lens: Tensor

    @property
    def num_frames(self) -> int:
        """Valid frames (100 Hz) of the batch."""
        return int(self.feature_lens.sum())


def loss_scales(config: TrainingConfig, update: int, total_updates: int) -> tuple[float, float]:
    """Weights of the simple and of the pruned loss at an update.

    As in icefall: over the warm-up the simple loss goes from 1 to ``simple_loss_scale`` and the
    pruned one from 0.1 to 1, since the pruned lattice means little before the simple joiner knows
    where symbols lie.
    """
    warmup = config.loss_warmup_fraction * total_updates
    done = 1.0 if update >= warmup else update / warmup
    simple = 1.0 - done * (1.0 - config.simple_loss_scale)
    pruned = 0.1 + 0.9 * done
    return simple, pruned


def run_transducer(
    model: nn.Module, batch: Batch, config: TrainingConfig, ranges: Tensor | None = None
) -> TransducerOutput:
    """A training pass of the model over a batch.

    Args:
      model: The transducer, perhaps wrapped.
      batch: What it sees.
      config: Settings of the lattice.
      ranges: Prune ranges of another pass over the same batch, of shape ``(N, T, P)``.
    """
    return model(
        batch.features,
        batch.feature_lens,
        batch.symbols,
        batch.symbol_lens,
        prune_range=config.prune_range,
        lm_scale=config.lm_scale,
        am_scale=config.am_scale,
        rnnt_type=config.rnnt_type,
        ranges=ranges,
    )


def weigh_losses(out: TransducerOutput, scales: tuple[float, float]) -> tuple[Tensor, Info]:
    """The training loss of a pass.

    Args:
      out: What the pass gave.
      scales: Weights of the simple and of the pruned loss, see :func:`loss_scales`.

    Returns:
      The loss an encoder frame, a scalar, and sums over the batch by name: ``loss``,
      ``simple_loss``, ``pruned_loss`` as scalars that nothing has waited for yet (see
      :func:`read_info`), and ``frames``, the encoder frames to divide them by.
    """
    simple, pruned = out.simple_loss.sum(), out.pruned_loss.sum()
    total = scales[0] * simple + scales[1] * pruned
    frames = int(out.encoder_lens.sum())
    sums = {"loss": total, "simple_loss": simple, "pruned_loss": pruned}
    return total / frames, {**{name: x.detach() for name, x in sums.items()}, "frames": frames}


def read_info(infos: Sequence[Info], *others: Tensor) -> tuple[list[dict[str, float]], list[float]]:
    """What passes told and other scalars as numbers; the device is waited for once.

    Returns:
      Each of ``infos`` with numbers for scalars, and the values of ``others``.
    """
    scalars = [x for info in infos for x in info.values() if isinstance(x, Tensor)]
    found = [x.double() for x in (*scalars, *others)]
    values = iter(torch.stack(found).tolist() if found else [])
    read = [
        {name: next(values) if isinstance(x, Tensor) else x for name, x in info.items()}
        for info in infos
    ]
    return read, list(values)


def transducer_loss(
    model: nn.Module, batch: Batch, config: TrainingConfig, update: int, total_updates: int
) -> tuple[Tensor, Info]:
    """The dense model's loss; returns what :func:`weigh_losses` does."""
    out = run_transducer(model, batch, config)
    return weigh_losses(out, loss_scales(config, update, total_updates))
