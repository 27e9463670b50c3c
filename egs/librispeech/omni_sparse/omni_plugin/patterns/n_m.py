# SPDX-License-Identifier: Apache-2.0
"""N:M sparsity: of every M consecutive inputs of a row, at most N weights are not zero."""

from __future__ import annotations

import torch
from torch import Tensor

from omni_plugin.errors import OmniError
from omni_plugin.patterns.base import Pattern


class NMPattern(Pattern):
    """``N:M`` along the input.

    A level is rounded to whole zeros a group, ``round(M * sparsity)``, and ``N`` bounds it: 2:4
    has the levels 0, 0.25 and 0.5. Inputs beyond the last whole group stay dense.

    >>> import torch
    >>> pattern = NMPattern(2, 4)
    >>> weight = torch.tensor([[4.0, 1.0, -3.0, 2.0]])
    >>> pattern.apply(weight, pattern.keep(pattern.rank_weight(weight), 0.5).float())
    tensor([[ 4.,  0., -3.,  0.]])
    """

    def __init__(self, n: int, m: int, norm: str = "l1") -> None:
        super().__init__(1, 1, norm)
        if not 1 <= n < m <= 256:
            raise OmniError(
                f"pattern {n}:{m}: N must lie between 1 and M - 1, and M be at most 256"
            )
        self.n, self.m = n, m

    @property
    def name(self) -> str:
        return f"{self.n}:{self.m}"

    def grid(self, shape: torch.Size) -> tuple[int, int]:
        return shape[0], shape[1] // self.m * self.m

    def check(self, shape: torch.Size, name: str) -> None:
        if shape[1] < self.m:
            raise OmniError(
                f"{name}: a weight of shape {tuple(shape)} has fewer than {self.m} inputs, which "
                f"pattern {self.name} needs; exclude the layer or choose another pattern"
            )

    def check_level(self, sparsity: float, name: str) -> None:
        super().check_level(sparsity, name)
        if self._zeros(sparsity) > self.m - self.n:
            raise OmniError(
                f"{name}: sparsity {sparsity} is more than pattern {self.name} allows, "
                f"{1 - self.n / self.m:g}"
            )

    def num_pruned_blocks(self, shape: torch.Size, sparsity: float) -> int:
        return shape[0] * (shape[1] // self.m) * self._zeros(sparsity)

    def rank(self, scores: Tensor) -> Tensor:
        order = scores.unflatten(1, (-1, self.m)).argsort(dim=-1, stable=True)
        positions = torch.arange(self.m, dtype=torch.uint8, device=scores.device)
        ranks = torch.empty_like(order, dtype=torch.uint8)
        ranks.scatter_(-1, order, positions.expand_as(order))
        return ranks.flatten(1)

    def keep(self, ranks: Tensor, sparsity: float) -> Tensor:
        return ranks >= self._zeros(sparsity)

    def _zeros(self, sparsity: float) -> int:
        return int(self.m * sparsity + 0.5)
