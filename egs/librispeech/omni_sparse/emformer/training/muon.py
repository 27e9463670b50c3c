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
        rate, same_shape = group["lr"], defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                is_tall = parameter.shape[0] > parameter.shape[1]
                wide = parameter.shape[::-1] if is_tall else parameter.shape
                same_shape[wide].append((parameter, self._direction(parameter), is_tall))
        for found in same_shape.values():
            wide = [direction.t() if is_tall else direction for _, direction, is_tall in found]
            updates = orthogonalized(torch.stack(wide))
            for (parameter, _, is_tall), update in zip(found, updates, strict=True):
                update = update.t() if is_tall else update
                # Not over all entries: with nine tenths of them masked, most of the update falls on
                # the others, two to three times as large, and they learn worse.
                learning = parameter.grad != 0
                # A unit that was dropped from all utterances goes on along its momentum.
                learning |= ~learning.any()
                rms = (update.square() * learning).sum() / learning.sum()
                step = rate * _UPDATE_RMS / rms.sqrt().clamp(min=1e-6)
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.addcmul_(update, step, value=-1)

    def _direction(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if not state:
            # AdamW looks for the first when a state is loaded.
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(parameter))
        state["step"] += 1
        moment = state["momentum"].mul_(self._momentum).add_(parameter.grad)
        return parameter.grad.add(moment, alpha=self._momentum)
