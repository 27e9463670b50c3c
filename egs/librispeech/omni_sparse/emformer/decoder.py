# SPDX-License-Identifier: Apache-2.0
"""The stateless decoder (prediction network)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Decoder(nn.Module):
    """An embedding of the last ``context_size`` symbols and a convolution over them.

    See Ghodsi et al., "RNN-Transducer with stateless prediction network", ICASSP 2020.

    N: batch size; U: symbols; C: context size; D: decoder dimension.
    """

    def __init__(self, vocab_size: int, dim: int, context_size: int, blank_id: int) -> None:
        super().__init__()
        if context_size < 1:
            raise ValueError(f"context_size must be 1 or more, got {context_size}")
        self.embedding = nn.Embedding(vocab_size, dim)
        self.context_size = context_size
        self.blank_id = blank_id
        self.conv = nn.Conv1d(dim, dim, context_size, bias=False)

    def forward(self, y: Tensor, need_pad: bool = True) -> Tensor:
        """Embed symbol histories.

        Args:
          y: Symbols of shape ``(N, U)``; negative ones (no symbol yet) embed as zero.
          need_pad: Put ``context_size - 1`` empty symbols in front, so that each of the U symbols
            gets an output. Without it the output has ``U - context_size + 1`` steps.

        Returns:
          Output of shape ``(N, U, D)``, or ``(N, U - C + 1, D)``.
        """
        embedded = self.embedding(y.clamp(min=0)) * (y >= 0).unsqueeze(2)
        embedded = embedded.transpose(1, 2)
        if need_pad:
            embedded = nn.functional.pad(embedded, (self.context_size - 1, 0))
        return torch.relu(self.conv(embedded)).transpose(1, 2)
