# SPDX-License-Identifier: Apache-2.0
"""What a sparsity pattern is: how weights form blocks, and which blocks a level keeps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from omni_plugin.errors import OmniError

RANDOM = "random"
NORMS = ("l1", "l2", RANDOM)


def check_sparsity(sparsity: float, where: str = "sparsity") -> float:
    """Returns a sparsity that lies in [0, 1).

    Raises:
      OmniError: It does not; ``where`` names it.
    """
    if isinstance(sparsity, bool) or not isinstance(sparsity, (int, float)):
        shown = " ".join(f"{sparsity!r:.60}".split())  # a tensor may have many lines
        raise OmniError(f"{where} is {shown}; it must be a number in [0, 1)")
    if not 0 <= sparsity < 1:
        raise OmniError(f"{where} is {sparsity}; it must lie in [0, 1)")
    return float(sparsity)


class Pattern(ABC):
    """Blocks of a matrix that are pruned together, and their order of importance.

    A weight of shape ``(O, I)`` (outputs, inputs; ``(O, I, 1, ...)`` for a pointwise convolution)
    has a grid of ``(G, H)`` blocks of ``rows x cols`` weights. Rows and columns beyond the last
    whole block belong to no block and are never pruned.

    One ranking of the blocks serves all levels, so masks are nested: what a denser sub-network
    prunes, a sparser one prunes too.

    Args:
      rows, cols: Size of a block, outputs by inputs.
      norm: A block's score: ``l1`` (mean magnitude), ``l2`` (root of the mean square), or
        ``random`` (nothing to do with the weights: the yardstick of the others).
    """

    def __init__(self, rows: int, cols: int, norm: str = "l1") -> None:
        if norm not in NORMS:
            raise OmniError(f"score {norm!r} is unknown; known: {', '.join(NORMS)}")
        if rows < 1 or cols < 1:
            raise OmniError(f"pattern {rows}x{cols}: a block has at least 1 row and 1 column")
        self.rows, self.cols, self.norm = rows, cols, norm

    @property
    @abstractmethod
    def name(self) -> str:
        """As in a configuration, such as ``8x1`` or ``2:4``."""

    @abstractmethod
    def rank(self, scores: Tensor) -> Tensor:
        """Ranking of the blocks, in few bytes.

        Args:
          scores: Of shape ``(G, H)``, larger for what matters more.

        Returns:
          Of shape ``(G, H)``; only :meth:`keep` need understand it.
        """

    @abstractmethod
    def keep(self, ranks: Tensor, sparsity: float) -> Tensor:
        """Which blocks a level keeps: bool of shape ``(G, H)``."""

    @abstractmethod
    def num_pruned_blocks(self, shape: torch.Size, sparsity: float) -> int:
        """Blocks that a level prunes in a weight of a shape, exactly."""

    # Everything below follows from the above.

    @property
    def block_size(self) -> int:
        return self.rows * self.cols

    def grid(self, shape: torch.Size) -> tuple[int, int]:
        """``(G, H)`` of a weight's shape."""
        return shape[0] // self.rows, shape[1] // self.cols

    def num_zeros(self, shape: torch.Size, sparsity: float) -> int:
        """Weights that a level sets to zero, exactly."""
        return self.num_pruned_blocks(shape, sparsity) * self.block_size

    def check(self, shape: torch.Size, name: str) -> None:
        """Raises OmniError where not even one block fits into the weight ``name``."""
        if 0 in self.grid(shape):
            raise OmniError(
                f"{name}: a weight of shape {tuple(shape)} has no block of pattern {self.name}; "
                "exclude the layer or choose a smaller block"
            )

    def check_level(self, sparsity: float, name: str) -> None:
        """Raises OmniError where the weight ``name`` cannot have this sparsity."""
        check_sparsity(sparsity, f"{name}: sparsity")

    def blocks(self, weight: Tensor) -> Tensor:
        """The weight's whole blocks as a view of shape ``(G, rows, H, cols)``."""
        g, h = self.grid(weight.shape)
        matrix = weight.flatten(1)[: g * self.rows, : h * self.cols]
        return matrix.unflatten(1, (h, self.cols)).unflatten(0, (g, self.rows))

    def scores(self, weight: Tensor) -> Tensor:
        """Scores of the blocks, of shape ``(G, H)``, in float32.

        Random ones are drawn by torch's global generator of the CPU, whatever the weight's device.
        """
        if self.norm == RANDOM:
            return torch.rand(self.grid(weight.shape)).to(weight.device)
        blocks = self.blocks(weight.detach()).float()
        if self.norm == "l1":
            return blocks.abs().mean(dim=(1, 3))
        return blocks.square().mean(dim=(1, 3)).sqrt()

    def rank_weight(self, weight: Tensor) -> Tensor:
        """:meth:`rank` of a weight's scores."""
        return self.rank(self.scores(weight))

    def apply(self, weight: Tensor, keep: Tensor) -> Tensor:
        """The weight with all but the kept blocks set to zero; differentiable.

        Args:
          weight: Of shape ``(O, I)``, or ``(O, I, 1, ...)``.
          keep: 1 for each block that is kept, else 0, of the weight's dtype and shape ``(G, H)``.
        """
        g, h = self.grid(weight.shape)
        if (g * self.rows, h * self.cols) != weight.shape[:2]:
            return weight * self.expand(keep, weight.shape)
        # Not by blocks(): the gradient of a slice, even of a whole one, is a copy.
        blocks = weight.reshape(g, self.rows, h, self.cols)
        return (blocks * keep[:, None, :, None]).view(weight.shape)

    def expand(self, keep: Tensor, shape: torch.Size) -> Tensor:
        """A block mask ``(G, H)`` as a mask of a weight's shape."""
        full = keep.new_ones(shape[0], math.prod(shape[1:]))
        self.blocks(full).copy_(keep[:, None, :, None])
        return full.view(shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, norm={self.norm!r})"
