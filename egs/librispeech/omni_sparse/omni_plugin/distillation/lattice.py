# SPDX-License-Identifier: Apache-2.0
"""Cells of the pruned RNN-T lattice: what each would emit, and which of them are real.

N: batch size; T: frames; P: prune range; U: symbols of the longest utterance.

A cell ``(n, t, p)`` of k2's pruned lattice stands at frame ``t`` after ``ranges[n, t, p]`` symbols
of utterance ``n``. What it can emit is the next symbol, or blank to go to the next frame.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from omni_plugin.errors import OmniError

# As everywhere in icefall and k2.
BLANK = 0


def lattice_labels(symbols: Tensor, ranges: Tensor) -> Tensor:
    """The symbol that each cell would emit; blank where no symbol is left.

    Args:
      symbols: Of shape ``(N, U)``, padded with blank.
      ranges: Symbol positions from 0 to U, of shape ``(N, T, P)``.

    Returns:
      Of shape ``(N, T, P)``.

    Raises:
      OmniError: The two are of different batches.

    >>> import torch
    >>> lattice_labels(torch.tensor([[7, 5, 9]]), torch.tensor([[[0, 1], [1, 2], [2, 3]]]))
    tensor([[[7, 5],
             [5, 9],
             [9, 0]]])
    """
    _check_batch(ranges, symbols=symbols)
    symbols = F.pad(symbols, (0, 1), value=BLANK)
    return symbols.gather(1, ranges.flatten(1)).view_as(ranges)


def lattice_mask(ranges: Tensor, frame_lens: Tensor, symbol_lens: Tensor) -> Tensor:
    """Which cells belong to an utterance and not to its padding, in frames or in symbols.

    The last position, after all symbols, belongs to it: there the utterance ends.

    Args:
      ranges: Symbol positions, of shape ``(N, T, P)``.
      frame_lens: Valid frames (after subsampling), of shape ``(N,)``.
      symbol_lens: Valid symbols, of shape ``(N,)``.

    Returns:
      bool of shape ``(N, T, P)``.

    Raises:
      OmniError: They are of different batches.

    >>> import torch
    >>> ranges = torch.tensor([[[0, 1], [0, 1], [1, 2]]])
    >>> lattice_mask(ranges, torch.tensor([2]), torch.tensor([1])).int()
    tensor([[[1, 1],
             [1, 1],
             [0, 0]]], dtype=torch.int32)
    """
    _check_batch(ranges, frame_lens=frame_lens, symbol_lens=symbol_lens)
    frames = torch.arange(ranges.size(1), device=ranges.device)
    in_time = frames < frame_lens.to(ranges.device).unsqueeze(1)  # (N, T)
    in_text = ranges <= symbol_lens.to(ranges.device)[:, None, None]  # (N, T, P)
    return in_time.unsqueeze(2) & in_text


def _check_batch(ranges: Tensor, **others: Tensor) -> None:
    """Broadcasting and gather would take a batch of another size without a word."""
    for name, other in others.items():
        if ranges.dim() != 3 or other.size(0) != ranges.size(0):
            raise OmniError(
                f"{name} of shape {tuple(other.shape)} and ranges of shape {tuple(ranges.shape)} "
                "do not belong together; ranges are (N, T, P) of the same batch"
            )
