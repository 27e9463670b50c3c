# SPDX-License-Identifier: Apache-2.0
"""Blocks of R x C weights anywhere in a matrix; 1x1 is unstructured sparsity."""

from __future__ import annotations

import torch
from torch import Tensor

from omni_plugin.patterns.base import Pattern

_BUCKETS = 256
# From this size on, an exact rank of 4 bytes costs half a byte a weight or less.
_EXACT_FROM = 8


class BlockPattern(Pattern):
    """``R x C`` blocks: R consecutive output rows by C input columns.

    Blocks of 8 weights and more keep exact ranks in 4 bytes a block. Smaller ones keep the 256th
    part of the ranking they lie in, 1 byte a block; within the part where a level's border falls,
    position decides. Numbers of zeros are exact in both.

    >>> import torch
    >>> pattern = BlockPattern(2, 1)
    >>> weight = torch.tensor([[4.0, 1.0, 3.0], [4.0, 2.0, 3.0]])
    >>> keep = pattern.keep(pattern.rank_weight(weight), 0.34)
    >>> pattern.apply(weight, keep.float())
    tensor([[4., 0., 3.],
            [4., 0., 3.]])
    """

    @property
    def name(self) -> str:
        return f"{self.rows}x{self.cols}"

    def num_pruned_blocks(self, shape: torch.Size, sparsity: float) -> int:
        g, h = self.grid(shape)
        return _share(g * h, sparsity)

    def rank(self, scores: Tensor) -> Tensor:
        count = scores.numel()
        order = scores.flatten().argsort(stable=True)
        ranks = torch.empty(count, dtype=torch.int32, device=scores.device)
        ranks[order] = torch.arange(count, dtype=torch.int32, device=scores.device)
        if self.block_size < _EXACT_FROM:
            ranks = _bucket(ranks.long(), count).to(torch.uint8)
        return ranks.view_as(scores)

    def keep(self, ranks: Tensor, sparsity: float) -> Tensor:
        count = ranks.numel()
        pruned = _share(count, sparsity)
        if self.block_size >= _EXACT_FROM:
            return ranks >= pruned
        if pruned == 0:
            return torch.ones_like(ranks, dtype=torch.bool)
        # The part of the ranking where the border falls, and how many blocks come before it.
        border = int(_bucket(torch.tensor(pruned - 1), count))
        before = -(-border * count // _BUCKETS)
        keep = (ranks >= border).flatten()
        keep[(ranks.flatten() == border).nonzero()[: pruned - before, 0]] = False
        return keep.view_as(ranks)


def _share(count: int, sparsity: float) -> int:
    return int(count * sparsity + 0.5)


def _bucket(ranks: Tensor, count: int) -> Tensor:
    return torch.div(ranks * _BUCKETS, count, rounding_mode="floor")
