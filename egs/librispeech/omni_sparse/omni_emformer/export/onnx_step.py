# SPDX-License-Identifier: Apache-2.0
"""The transducer's parts as plain chains of operators, which can be traced.

torchaudio's ``Emformer.infer`` cannot: it slices by the age of the first stream. Here all slots of
the left context are always there, and those that a stream has not filled yet are masked. The sums
are the same, and streams may differ in age.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from emformer.config import ModelConfig
from emformer.model import Transducer

_HIDDEN = -1e8  # as torchaudio's negative_inf: its exponential is 0


class EncoderStep(nn.Module):
    """One chunk of each stream through front end, Emformer and the joiner's projection.

    N: batch size; F: feature dimension; S: segment, R: right context, L: left context; H: heads;
    E: dimension of a head; J: joiner dimension.

    Args:
      model: Its weights are used, not copied.

    Attributes:
      num_caches: Layers that have attention, and so keys and values to remember.
    """

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        config, layers = model.config, model.encoder.emformer.emformer_layers
        self.frontend = model.encoder.frontend
        self.layers = nn.ModuleList(_LayerStep(layer, config) for layer in layers)
        self.proj = model.joiner.encoder_proj
        self.num_caches = sum(layer.attention is not None for layer in layers)
        self.segment, self.left = config.segment, config.left_context
        self.frames = config.segment + config.right_context
        self.heads, self.head_dim = config.num_heads, config.encoder_dim // config.num_heads
        # How many frames a stream must have had for a slot to be filled: they fill from the end.
        self.register_buffer("ages", torch.arange(self.left, 0, -1).unsqueeze(0))

    def forward(
        self, x: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], processed: Tensor
    ) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        """Encode a chunk.

        Args:
          x: Log-mel features of shape ``(N, window_frames, F)``.
          keys, values: Of each layer with attention, ``(N, H, L, E)``, zeros at the start.
          processed: Encoder frames of each stream before this chunk, ``(N,)``, int64.

        Returns:
          Output of shape ``(N, S, J)``, and the new keys, values and numbers of frames.
        """
        x = self.frontend(x)
        hidden = (processed.unsqueeze(1) < self.ages).to(x.dtype) * _HIDDEN
        mask = nn.functional.pad(hidden, (0, self.frames)).unsqueeze(1).unsqueeze(1)
        caches, new_keys, new_values = zip(keys, values, strict=True), [], []
        for layer in self.layers:
            if layer.has_attention:
                x, key, value = layer.attend(x, *next(caches), mask)
                new_keys.append(key)
                new_values.append(value)
            x = layer(x)
        return self.proj(x[:, : self.segment]), new_keys, new_values, processed + self.segment


class _LayerStep(nn.Module):
    """A layer; it has the parts of torchaudio's and not the layer itself, which cannot be traced.

    Args:
      layer: Of torchaudio, perhaps without units (see emformer/layer.py).
      config: Of the model.
    """

    def __init__(self, layer: nn.Module, config: ModelConfig) -> None:
        super().__init__()
        self.has_attention = layer.attention is not None
        if self.has_attention:
            attention = layer.attention
            self.norm_input, self.out_proj = layer.layer_norm_input, attention.out_proj
            self.to_query, self.to_key_value = attention.emb_to_query, attention.emb_to_key_value
            self.scaling = attention.scaling
        self.pos_ff, self.norm_output = layer.pos_ff, layer.layer_norm_output
        self.segment, self.left = config.segment, config.left_context
        self.frames = config.segment + config.right_context
        self.heads, self.dim = config.num_heads, config.encoder_dim

    def attend(
        self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``(N, S + R, D)`` with its attention added, and the new keys and values."""
        normed = self.norm_input(x)
        query = self._split(self.to_query(normed) * self.scaling)
        own_key, own_value = self.to_key_value(normed).chunk(2, dim=2)
        key = torch.cat([key, self._split(own_key)], dim=2)
        value = torch.cat([value, self._split(own_value)], dim=2)
        weights = (query @ key.transpose(2, 3) + mask).softmax(3)
        out = (weights @ value).transpose(1, 2).reshape(-1, self.frames, self.dim)
        past = slice(self.segment, self.segment + self.left)
        return x + self.out_proj(out), key[:, :, past], value[:, :, past]

    def forward(self, x: Tensor) -> Tensor:
        """``(N, S + R, D)`` through the feed-forward network and the last norm."""
        if self.pos_ff is not None:
            x = x + self.pos_ff(x)
        return self.norm_output(x)

    def _split(self, x: Tensor) -> Tensor:
        """``(N, S + R, H * E)`` to ``(N, H, S + R, E)``."""
        return x.reshape(-1, self.frames, self.heads, self.dim // self.heads).transpose(1, 2)


class DecoderStep(nn.Module):
    """Histories ``(N, context_size)``, int64, to projected ``(N, J)``; -1 is no symbol yet."""

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        self.decoder, self.proj = model.decoder, model.joiner.decoder_proj

    def forward(self, y: Tensor) -> Tensor:
        return self.proj(self.decoder(y, need_pad=False)).squeeze(1)


class JoinerStep(nn.Module):
    """Two projected tensors ``(N, J)`` to logits ``(N, V)``."""

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        self.output_linear = model.joiner.output_linear

    def forward(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        return self.output_linear(torch.tanh(encoder_out + decoder_out))
