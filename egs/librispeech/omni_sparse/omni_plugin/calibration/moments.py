# SPDX-License-Identifier: Apache-2.0
"""What least squares needs to know of a layer's inputs, summed over them."""

from __future__ import annotations

import torch
from torch import Tensor

from omni_plugin.errors import OmniError


class Moments:
    """Second moments of a layer's inputs in the model as it is pruned so far, and in the whole one.

    Sums over rows, in float64, whichever way the rows are cut into batches. The layer's outputs in
    the whole model, without its bias, are what the pruned one is to give.

    A layer whose outputs are added to something (the last of a residual unit) can be asked for
    more: that the sum is the whole model's, though what they are added to is not any more.

    Args:
      weight: Of the whole model, of shape ``(O, I)``, or ``(O, I, 1, ...)``.
      residual: Whether rows come with what the outputs are added to.

    Attributes:
      weight: In float64, of shape ``(O, I)``.
      count: Rows.
      gram: ``X'X`` of the pruned model's inputs, of shape ``(I, I)``.
      pruned_sum: Sum of them, of shape ``(I,)``.
      target_sum: Sum of the outputs they are to give, of shape ``(O,)``.
    """

    def __init__(self, weight: Tensor, residual: bool = False) -> None:
        self.weight = weight.detach().flatten(1).double()
        outputs, inputs = self.weight.shape
        zeros = self.weight.new_zeros
        self.count = 0
        self.gram, self.pruned_sum = zeros(inputs, inputs), zeros(inputs)
        self.target_sum = zeros(outputs)
        # Of the two ways to the same product, W (Xd'X) and (Xd W')'X, the one of less work.
        self._by_inputs = outputs > inputs and not residual
        self._cross = zeros(inputs if self._by_inputs else outputs, inputs)
        self._energy, self._whole_energy = 0.0, 0.0
        self._whole_gram = zeros(inputs, inputs) if self._by_inputs else None

    def add(
        self,
        whole: Tensor,
        pruned: Tensor,
        name: str = "layer",
        residuals: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Add rows, of shape ``(rows, I)``, of the whole and of the pruned model.

        Args:
          whole, pruned: The rows; one and the same tensor if there is no difference.
          name: For errors.
          residuals: What the outputs are added to in the whole model and in the pruned one, of
            shape ``(rows, O)``.

        Raises:
          OmniError: They are not finite.
        """
        same = whole is pruned
        whole, pruned = whole.double(), pruned.double()
        if not torch.isfinite(pruned).all() or not torch.isfinite(whole).all():
            raise OmniError(f"{name}: its inputs are not all finite; look at features and weights")
        self.count += len(pruned)
        gram = _gram(pruned)
        self.gram += gram
        self.pruned_sum += pruned.sum(0)
        if self._by_inputs:
            self.target_sum += self.weight @ whole.sum(0)
            self._cross += gram if same else whole.t() @ pruned
            self._whole_gram += gram if same else _gram(whole)
        else:
            outputs = whole @ self.weight.t()
            self._whole_energy += float(outputs.square().sum())
            if residuals is not None:
                outputs += residuals[0].double() - residuals[1].double()
            self.target_sum += outputs.sum(0)
            self._cross += outputs.t() @ pruned
            self._energy += float(outputs.square().sum())

    @property
    def target(self) -> Tensor:
        """``Y'X`` of the outputs to give and the pruned model's inputs, ``(O, I)``."""
        return self.weight @ self._cross if self._by_inputs else self._cross

    def energies(self) -> tuple[float, float]:
        """Sums of the squares of the outputs to give, and of the whole model's."""
        if self._by_inputs:
            energy = float(((self.weight @ self._whole_gram) * self.weight).sum())
            return energy, energy
        return self._energy, self._whole_energy

    def centred(self) -> tuple[Tensor, Tensor]:
        """``gram`` and ``target`` of inputs and outputs less their means: with a free bias."""
        mean = self.pruned_sum / self.count
        return (
            self.gram - self.count * torch.outer(mean, mean),
            self.target - torch.outer(self.target_sum, mean),
        )

    def bias_change(self, weight: Tensor) -> Tensor:
        """What to add to the bias so that the mean output with ``weight`` is what it is to be."""
        return (self.target_sum - weight @ self.pruned_sum) / self.count

    def error(self, weight: Tensor, bias_change: Tensor | None = None) -> float:
        """Squared error of the outputs with ``weight``, as a share of the whole model's energy."""
        weight = weight.double()
        squares = ((weight @ self.gram - 2 * self.target) * weight).sum()
        if bias_change is not None:
            apart = weight @ self.pruned_sum - self.target_sum
            squares = squares + (bias_change * (2 * apart + self.count * bias_change)).sum()
        energy, whole_energy = self.energies()
        return max(0.0, float(squares) + energy) / max(whole_energy, 1e-30)


def _gram(x: Tensor) -> Tensor:
    """``x'x`` by its upper half, in strips."""
    size, strip = x.size(1), 512
    if size <= strip:
        return x.t() @ x
    gram = x.new_empty(size, size)
    for start in range(0, size, strip):
        end = min(start + strip, size)
        rows = x[:, start:end].t() @ x[:, start:]
        gram[start:end, start:] = rows
        gram[end:, start:end] = rows[:, end - start :].t()
    return gram
