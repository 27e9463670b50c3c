# SPDX-License-Identifier: Apache-2.0
"""Muon for the matrices of hidden layers, AdamW for everything else, as one optimizer.

torch has Muon from 2.9 on, in bfloat16, one matrix at a time and without AdamW beside it; this one
works with every torch of the recipe, and matrices of one shape take one batched product, which is
what keeps it cheap on a CPU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

# Of the quintic that pulls singular values towards 1 (Jordan et al., "Muon", 2024): they end
# between about 0.7 and 1.2, which serves as well as 1.
_COEFFICIENTS = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
# Root mean square of an update over the learning rate, near what AdamW has, so that both have the
# same learning rate (Liu et al., "Muon is scalable for LLM training", 2025).
_UPDATE_RMS = 0.2


def orthogonalized(matrices: Tensor) -> Tensor:
    """Roughly the nearest matrices with orthonormal rows or columns, by Newton-Schulz iterations.

    Args:
      matrices: ``(N, rows, columns)``; best with no more rows than columns. All zeros stay so.

    Returns:
      ``U V'`` of each one's singular value decomposition ``U S V'``, but with singular values
      between about 0.7 and 1.2 in place of 1.
    """
    a, b, c = _COEFFICIENTS
    # The Frobenius norm is no less than the largest singular value.
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    for _ in range(_ITERATIONS):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class MuonAdamW(AdamW):
    """AdamW, but for the groups that say ``muon: True``.

    The matrices of those move along their orthogonalized momentum: all directions of a matrix learn
    at one rate, whatever their gradients' sizes (Jordan et al., 2024), with Nesterov's look ahead
    and AdamW's decoupled weight decay. The size of a step is set over the entries that have a
    gradient, so that it is the same for a masked matrix as for a whole one; over all where none
    has one.

    Args:
      groups: Parameter groups; those with ``muon`` have matrices only.
      lr: Learning rate of all groups that have none of their own.
      betas: AdamW's.
      momentum: Muon's.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        momentum: float = 0.95,
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas)
        self._momentum = momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        groups = self.param_groups
        for group in groups:
            if group.get("muon"):
                self._step_matrices(group)
        # AdamW takes every group it sees.
        self.param_groups = [group for group in groups if not group.get("muon")]
        try:
            super().step(closure)
        finally:
            self.param_groups = groups

    def _step_matrices(self, group: dict[str, Any]) -> None:
        learning = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not learning:
            return
        directions = self._directions(learning)
        torch._foreach_mul_(learning, 1 - group["lr"] * group["weight_decay"])
        same_shape = defaultdict(list)
        for parameter, direction in zip(learning, directions, strict=True):
            is_tall = parameter.shape[0] > parameter.shape[1]
            wide = parameter.shape[::-1] if is_tall else parameter.shape
            same_shape[wide].append((parameter, direction, is_tall))
        for found in same_shape.values():
            updates = orthogonalized(torch.stack([_wide(d, tall) for _, d, tall in found]))
            grads = torch.stack([_wide(parameter.grad, tall) for parameter, _, tall in found])
            steps = group["lr"] * _UPDATE_RMS / _rms(updates, grads).clamp(min=1e-6)
            for (parameter, _, tall), update, step in zip(found, updates, steps, strict=True):
                parameter.addcmul_(_wide(update, tall), step, value=-1)

    def _directions(self, learning: list[nn.Parameter]) -> list[Tensor]:
        """Gradients that look ahead along their momentum, which is brought up to date."""
        for parameter in learning:
            if not self.state[parameter]:
                # AdamW looks for the first when a state is loaded.
                first = {"step": torch.zeros(()), "momentum": torch.zeros_like(parameter)}
                self.state[parameter].update(first)
        # Of all at once: on a GPU the number of operations is what takes time.
        moments = [self.state[parameter]["momentum"] for parameter in learning]
        grads = [parameter.grad for parameter in learning]
        torch._foreach_mul_(moments, self._momentum)
        torch._foreach_add_(moments, grads)
        return list(torch._foreach_add(grads, moments, alpha=self._momentum))


def _wide(matrix: Tensor, is_tall: bool) -> Tensor:
    return matrix.t() if is_tall else matrix


def _rms(updates: Tensor, grads: Tensor) -> Tensor:
    """Root mean squares of ``(N, rows, columns)`` where there is a gradient, of shape ``(N,)``.

    Not over all entries: with nine tenths of them masked, most of the update falls on the others,
    two to three times as large, and they learn worse.
    """
    counted = (grads != 0).flatten(1)
    # A unit that was dropped from all utterances goes on along its momentum.
    counted |= ~counted.any(1, keepdim=True)
    squares = updates.flatten(1).square() * counted
    # Each by itself: how a sum over rows is put together depends on how many rows there are.
    return (torch.stack([one.sum() for one in squares]) / counted.sum(1)).sqrt()
