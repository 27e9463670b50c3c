# SPDX-License-Identifier: Apache-2.0
"""The running average of a model's weights, and averages over ranges of epochs made from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningAverage:
    """Mean of the weights over all samples since training began, as icefall's ``model_avg``.

    Two checkpoints' means give the mean between them (:func:`average_between`), so any range of
    epochs can be averaged afterwards. Kept in float64: the difference of two long means cancels.
    """

    def __init__(self, model: nn.Module) -> None:
        self.num_samples = 0
        self.weights = {
            name: torch.zeros_like(value, dtype=torch.float64)
            for name, value in model.state_dict().items()
            if value.is_floating_point()
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the model's present weights as one more sample."""
        self.num_samples += 1
        state = model.state_dict()
        for name, mean in self.weights.items():
            mean += (state[name].to(mean) - mean) / self.num_samples

    def state_dict(self) -> dict:
        return {"num_samples": self.num_samples, "weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        self.num_samples = state["num_samples"]
        for name, mean in self.weights.items():
            mean.copy_(state["weights"][name])


def average_between(start: dict | None, end: dict) -> dict[str, Tensor]:
    """Mean weights of the samples taken after ``start`` and up to ``end``.

    Args:
      start, end: ``state_dict`` of two :class:`RunningAverage`; None for the start of training.

    Returns:
      Weights by name, float32.

    Raises:
      ValueError: There is no sample between the two.
    """
    first = 0 if start is None else start["num_samples"]
    count = end["num_samples"] - first
    if count < 1:
        raise ValueError(f"no sample of the weights between {first} and {end['num_samples']}")
    averaged = {}
    for name, mean in end["weights"].items():
        total = mean * end["num_samples"]
        if first:
            total = total - start["weights"][name] * first
        averaged[name] = (total / count).float()
    return averaged
