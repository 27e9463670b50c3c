# SPDX-License-Identifier: Apache-2.0
"""The joiner of encoder and decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Joiner(nn.Module):
    """``output(tanh(encoder_proj(encoder_out) + decoder_proj(decoder_out)))``."""

    def __init__(self, encoder_dim: int, decoder_dim: int, dim: int, vocab_size: int) -> None:
        super().__init__()
        self.encoder_proj = nn.Linear(encoder_dim, dim)
        self.decoder_proj = nn.Linear(decoder_dim, dim)
        self.output_linear = nn.Linear(dim, vocab_size)

    def forward(self, projected_encoder: Tensor, projected_decoder: Tensor) -> Tensor:
        """Logits of shape ``(..., V)`` from two projected tensors of shapes ``(..., J)``."""
        return self.output_linear(torch.tanh(projected_encoder + projected_decoder))
