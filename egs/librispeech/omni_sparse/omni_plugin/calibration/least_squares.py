# SPDX-License-Identifier: Apache-2.0
"""Weights that give the whole model's outputs as nearly as their mask allows."""

from __future__ import annotations

import torch
from torch import Tensor

from omni_plugin.errors import OmniError


def damping_of(gram: Tensor, damping: float) -> float:
    """The number on the diagonal: a share of the mean diagonal; 1 where all inputs are zero."""
    return damping * float(gram.diagonal().mean()) or 1.0


def least_squares(
    gram: Tensor, target: Tensor, weight: Tensor, mask: Tensor, damping: float
) -> Tensor:
    """The weights on a mask whose outputs come nearest to the targets.

    Of ``min |Y - X W'|^2 + lambda |W - W0|^2`` over the weights that the mask keeps, row by row:
    ``W_S = (T + lambda W0)_S (C_SS + lambda)^-1``. Rows with the same mask one below another, such
    as those of an 8x1 block, are solved at once.

    Args:
      gram: C, ``X'X`` of the inputs, of shape ``(I, I)``.
      target: T, ``Y'X``, of shape ``(O, I)``.
      weight: W0, of shape ``(O, I)``: what inputs that say nothing leave as it is.
      mask: bool, of shape ``(O, I)``: what is kept.
      damping: lambda as a share of the mean diagonal of C, above 0.

    Returns:
      Of shape ``(O, I)``, zero where the mask is.
    """
    extra = damping_of(gram, damping)
    gram = gram + extra * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    target = target + extra * weight
    found = torch.zeros_like(weight)
    masks, sizes = torch.unique_consecutive(mask, dim=0, return_counts=True)
    start = 0
    for kept, size in zip(masks, sizes.tolist(), strict=True):
        columns = kept.nonzero()[:, 0]
        rows = torch.arange(start, start + size, device=weight.device)
        own = gram.index_select(0, columns).index_select(1, columns)
        right = target[start : start + size].index_select(1, columns)
        found[rows[:, None], columns] = solve(own, right.t()).t()
        start += size
    return found


def solve(matrix: Tensor, right: Tensor) -> Tensor:
    """``matrix^-1 right`` of a positive definite matrix, by Cholesky.

    Raises:
      OmniError: It is not, not even with a thousandth of its diagonal more.
    """
    if not len(matrix):
        return torch.zeros_like(right)
    return torch.cholesky_solve(right, factor(matrix))


def factor(matrix: Tensor) -> Tensor:
    """The lower Cholesky factor; see :func:`solve`."""
    more = 0.0
    for share in (1e-12, 1e-9, 1e-6, 1e-3, None):
        lower, bad = torch.linalg.cholesky_ex(matrix)
        if not bad:
            return lower
        if share is None:
            break
        # What rounding took from the least eigenvalues.
        extra = share * float(matrix.diagonal().mean())
        matrix = matrix + (extra - more) * torch.eye(
            len(matrix), dtype=matrix.dtype, device=matrix.device
        )
        more = extra
    raise OmniError("least squares: the inputs' second moments are singular; use more damping")
