# SPDX-License-Identifier: Apache-2.0
"""One set of weights for several levels at once, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from omni_plugin.calibration.least_squares import damping_of, solve


def shared_least_squares(
    grams: Sequence[Tensor],
    targets: Sequence[Tensor],
    weight: Tensor,
    masks: Sequence[Tensor],
    shares: Sequence[float],
    damping: float,
) -> Tensor:
    """The weights whose masked copies come nearest to the targets, all levels together.

    Of ``min sum_l a_l |Y - X_l (M_l W)'|^2 + lambda |W - W0|^2``. A row of W has the equations
    ``sum_l a_l D_l C_l D_l + lambda`` on the left and ``sum_l a_l T_l D_l + lambda W0`` on the
    right, with D_l the diagonal of what level l keeps of the row.

    Args:
      grams, targets: C_l and T_l of each level, see :func:`least_squares`.
      weight: W0, of shape ``(O, I)``.
      masks: bool, of shape ``(O, I)``, of each level; nested or not.
      shares: a_l: how much each level counts.
      damping: lambda as a share of the mean diagonal of ``sum_l a_l C_l``.

    Returns:
      Of shape ``(O, I)``; where no level keeps a weight, it stays what it was.
    """
    total = sum(a * c for a, c in zip(shares, grams, strict=True))
    extra = damping_of(total, damping)
    identity = torch.eye(len(total), dtype=total.dtype, device=total.device)
    found = torch.empty_like(weight)
    right = extra * weight
    for a, target, mask in zip(shares, targets, masks, strict=True):
        right = right + a * target * mask
    stacked = torch.stack(list(masks), 1).flatten(1)
    _, sizes = torch.unique_consecutive(stacked, dim=0, return_counts=True)
    start = 0
    for size in sizes.tolist():
        left = extra * identity
        for a, gram, mask in zip(shares, grams, masks, strict=True):
            kept = mask[start].to(gram.dtype)
            left = left + a * kept[:, None] * gram * kept
        rows = slice(start, start + size)
        found[rows] = solve(left, right[rows].t()).t()
        start += size
    return found
