# SPDX-License-Identifier: Apache-2.0
"""Layer norms that give the whole model's means and variances."""

from __future__ import annotations

import torch
from torch import Tensor


class NormMoments:
    """Means and variances of a layer norm's outputs in the whole model and the pruned one.

    Args:
      size: Channels.
      eps: Of the norm.
    """

    def __init__(self, size: int, eps: float) -> None:
        self.eps, self.count = eps, 0
        self._sums = torch.zeros(4, size, dtype=torch.float64)

    def add(self, whole: Tensor, pruned: Tensor) -> None:
        """Add inputs of the norm, of shape ``(rows, size)``."""
        self.count += len(whole)
        sums = []
        for rows in (whole, pruned):
            rows = torch.nn.functional.layer_norm(rows.double(), rows.shape[1:], eps=self.eps)
            sums += [rows.sum(0), rows.square().sum(0)]
        self._sums = self._sums.to(sums[0].device) + torch.stack(sums)

    def matched(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias with which the pruned model's outputs have the whole model's moments.

        A channel that does not vary keeps its weight.

        Args:
          weight, bias: Of the whole model, of shape ``(size,)``.
        """
        mean, square, pruned_mean, pruned_square = self._sums / self.count
        variance = (square - mean**2).clamp_min(0)
        pruned_variance = (pruned_square - pruned_mean**2).clamp_min(0)
        varies = pruned_variance > 1e-12
        ratio = torch.where(varies, variance / pruned_variance.clamp_min(1e-12), 1.0).sqrt()
        new = weight.double() * ratio
        return new, bias.double() + weight.double() * mean - new * pruned_mean
