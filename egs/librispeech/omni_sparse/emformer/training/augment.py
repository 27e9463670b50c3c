# SPDX-License-Identifier: Apache-2.0
"""What is done to the features of training, and of nothing else."""

from __future__ import annotations

import math
from dataclasses import asdict

import torch
from lhotse.dataset import SpecAugment
from torch import Tensor

from emformer.config import SpecAugmentConfig, TrainingConfig
from emformer.frontend import PAD_LOG_MEL

_LOG_ENERGY_PER_DB = math.log(10) / 10


class Augment:
    """Changes of level, then SpecAugment, each as the settings say or not at all.

    N: batch size; T: frames; F: feature dimension.

    Args:
      settings: ``volume_db`` and ``spec_augment`` count.
    """

    def __init__(self, settings: TrainingConfig) -> None:
        self.volume_db = settings.volume_db
        self.spec_augment = _make_spec_augment(settings.spec_augment)

    def __call__(self, features: Tensor, lens: Tensor) -> Tensor:
        """Features of the same shape, ``(N, T, F)``; ``lens`` of shape ``(N,)`` are valid frames.

        What is drawn is drawn on the CPU, so that it is the same on all devices.
        """
        if self.volume_db:
            drawn = 2 * torch.rand(len(features)) - 1
            features = change_volume(features, self.volume_db * drawn)
        if self.spec_augment is not None:
            frames = lens.cpu()
            each = torch.arange(len(frames))
            segments = torch.stack([each, torch.zeros_like(frames), frames], 1)
            features = self.spec_augment(features, segments)
        return features


def change_volume(features: Tensor, db: Tensor) -> Tensor:
    """Log-mel features as if the samples had been made louder.

    A gain of x decibels is a factor of the energy, and adds x ln(10) / 10 to its logarithm. As in
    the features themselves no energy is below float32's smallest step.

    Args:
      features: Of shape ``(N, T, F)``.
      db: The gain of each utterance, of shape ``(N,)``.
    """
    more = (_LOG_ENERGY_PER_DB * db).to(features)
    return (features + more[:, None, None]).clamp(min=PAD_LOG_MEL)


def _make_spec_augment(settings: SpecAugmentConfig | None) -> SpecAugment | None:
    if settings is None:
        return None
    options = asdict(settings)
    return SpecAugment(**{**options, "time_warp_factor": options["time_warp_factor"] or None})
