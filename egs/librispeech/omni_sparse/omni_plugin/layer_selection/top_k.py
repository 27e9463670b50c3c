# SPDX-License-Identifier: Apache-2.0
"""Choosing k of n differentiably."""

from __future__ import annotations

import torch
from torch import Tensor


def relaxed_top_k(scores: Tensor, k: int) -> Tensor:
    """Soft membership in the k largest: the sum of k successive softmaxes.

    After each softmax what it took is taken from the scores: ``s <- s + log(1 - p)``. See Xie and
    Ermon, "Reparameterizable subset sampling via continuous relaxations", IJCAI 2019, without
    their noise.

    Args:
      scores: Of shape ``(L,)``.
      k: How many are chosen, 0 to L.

    Returns:
      Values of shape ``(L,)`` that sum to k and are ordered as the scores. One may exceed 1.

    >>> relaxed_top_k(torch.zeros(4), 2)
    tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    total = torch.zeros_like(scores)
    tiny = torch.finfo(scores.dtype).tiny
    for _ in range(k):
        taken = scores.softmax(0)
        total = total + taken
        scores = scores + (1 - taken).clamp(min=tiny).log()
    return total


def hard_top_k(scores: Tensor, k: int) -> Tensor:
    """1 for the k largest and 0 for the others, with the gradient of :func:`relaxed_top_k`.

    The straight-through estimator of Bengio et al., 2013. Of equal scores the last are chosen, as
    they are ranked by :func:`ascending`.

    Args:
      scores: Of shape ``(L,)``.
      k: How many are chosen, 0 to L.
    """
    soft = relaxed_top_k(scores, k)
    hard = torch.zeros_like(scores)
    hard[ascending(scores)[len(scores) - k :]] = 1.0
    return hard + (soft - soft.detach())  # the difference is 0, so the values are exact


def ascending(scores: Tensor) -> Tensor:
    """Indices ``(L,)`` from the lowest score to the highest; equal ones in their order."""
    return torch.sort(scores.detach(), stable=True).indices
