# SPDX-License-Identifier: Apache-2.0
"""torchaudio's Emformer with units that may be left out, and with few steps for a GPU."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from emformer.frontend import padding_mask

#: Modules of each residual unit; the last gives what is added to the layer's input.
UNIT_MODULES = {"attention": ("layer_norm_input", "attention", "dropout"), "ffn": ("pos_ff",)}


class OptionalUnits:
    """A layer of torchaudio's that does without a unit whose modules are None.

    ``x`` then goes on unchanged, nothing is computed for the unit, and a layer without attention
    keeps no keys and values. ``layer_norm_output`` is always there. With all units, the layer's
    outputs are torchaudio's bit for bit; for streaming, its private methods are called, and have
    its names and shapes. The Emformer has no memory elements.
    """

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Whole utterances.

        torchaudio keeps right contexts and utterances apart between the steps and puts them
        together for each: twice as many operations.

        Args:
          x: The right contexts of all chunks, then the utterances, of shape ``(R + T, N, D)``.
          hidden: As :meth:`OwnSteps.forward`'s.

        Returns:
          Of the shape of ``x``.
        """
        if self.attention is not None:
            x = self.dropout(self.attention(self.layer_norm_input(x), hidden)) + x
        return self._feed_forward(x)

    def _feed_forward(self, x: Tensor) -> Tensor:
        if self.pos_ff is not None:
            x = self.pos_ff(x) + x
        return self.layer_norm_output(x)

    def _apply_pre_attention_layer_norm(
        self, utterance: Tensor, right_context: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.attention is None:
            return utterance, right_context
        return super()._apply_pre_attention_layer_norm(utterance, right_context)

    def _apply_attention_infer(
        self,
        utterance: Tensor,
        lengths: Tensor,
        right_context: Tensor,
        mems: Tensor,
        state: list[Tensor] | None,
    ) -> tuple[Tensor | None, Tensor, list[Tensor]]:
        if self.attention is None:
            return None, mems, []
        return super()._apply_attention_infer(utterance, lengths, right_context, mems, state)

    def _process_attention_output(
        self, rc_output: Tensor | None, utterance: Tensor, right_context: Tensor
    ) -> Tensor:
        x = torch.cat([right_context, utterance])
        if rc_output is not None:
            x = self.dropout(rc_output) + x
        return self._feed_forward(x)


class OwnSteps:
    """torchaudio's attention over whole utterances, with one mask for all that is hidden."""

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Attention of all frames to all.

        Args:
          x: Of shape ``(R + T, N, D)``.
          hidden: True where a row must not look, ``(N or 1, 1, R + T, R + T)``.

        Returns:
          Of the shape of ``x``.
        """
        frames, size, dim = x.shape
        query = self.emb_to_query(x)
        key, value = self.emb_to_key_value(x).chunk(2, dim=2)
        query, key, value = (
            y.contiguous().view(frames, size * self.num_heads, -1).transpose(0, 1)
            for y in (query, key, value)
        )
        scores = torch.bmm(query * self.scaling, key.transpose(1, 2))
        by_head = scores.float().view(size, self.num_heads, frames, frames)
        by_head = by_head.masked_fill(hidden, self.negative_inf)
        shares = by_head.softmax(-1).type_as(scores).view_as(scores)
        shares = nn.functional.dropout(shares, float(self.dropout), self.training)
        out = torch.bmm(shares, value).transpose(0, 1).contiguous()
        return self.out_proj(out.view(frames, size, dim))


class FewSteps:
    """An Emformer that gives a device few things to do, and never waits for it.

    A small model's update is as fast as the host can ask for it. torchaudio puts masks and right
    contexts together chunk by chunk, and reads lengths back in each layer. The Emformer has no
    memory elements.
    """

    def forward(self, input: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Whole utterances, as torchaudio's method, bit for bit.

        Args:
          input: Of shape ``(N, T + right_context_length, D)``.
          lengths: Valid frames without right context, of shape ``(N,)``; best on the CPU, since the
            host must know them.

        Returns:
          Of shape ``(N, T, D)``, and ``lengths``.
        """
        num_frames = input.size(1) - self.right_context_length
        copies = self._copied_frames(num_frames, input.device)
        frame = torch.arange(num_frames, device=input.device)
        x = input.transpose(0, 1).index_select(0, torch.cat([copies, frame]))
        hidden = self._gen_attention_mask(x[copies.numel() :])
        if len(lengths) > 1:  # else there is no padding
            valid = lengths + x.size(0) - lengths.max()
            hidden = hidden | padding_mask(valid, x.transpose(0, 1))[:, None, None]
        hidden = hidden.view(-1, 1, *hidden.shape[-2:])
        for layer in self.emformer_layers:
            x = layer(x, hidden)
        return x[copies.numel() :].transpose(0, 1), lengths

    def _copied_frames(self, num_frames: int, device: torch.device) -> Tensor:
        """Which frames are the right contexts of all chunks, in order."""
        segment = self.segment_length
        ends = torch.arange(-(-num_frames // segment), device=device) * segment + segment
        ahead = torch.arange(self.right_context_length, device=device)
        return (ends.clamp(max=num_frames).unsqueeze(1) + ahead).flatten()

    def _gen_attention_mask(self, input: Tensor) -> Tensor:
        """True where a row must not look: for utterances ``input`` of shape ``(T, N, D)``.

        Rows and columns are those of torchaudio: the right contexts of all chunks, then the
        utterance.
        """
        num_frames, segment = input.size(0), self.segment_length
        frame = torch.arange(num_frames, device=input.device)
        chunk = torch.div(frame, segment, rounding_mode="floor")
        chunks = torch.arange(-(-num_frames // segment), device=input.device)
        copies = chunks.unsqueeze(1).expand(-1, self.right_context_length).flatten()
        row = torch.cat([copies, chunk]).unsqueeze(1)
        first = row * segment - self.left_context_length
        seen = (first <= frame) & (chunk <= row)
        return ~torch.cat([copies == row, seen], 1)


@functools.cache
def _with(mixin: type, base: type[nn.Module]) -> type[nn.Module]:
    return type(base.__name__.lstrip("_"), (mixin, base), {})


def adapt_emformer(emformer: nn.Module) -> None:
    """Make an Emformer of torchaudio ours, in place; weights, their names and outputs stay."""
    emformer.__class__ = _with(FewSteps, type(emformer))
    for layer in emformer.emformer_layers:
        layer.__class__ = _with(OptionalUnits, type(layer))
        layer.attention.__class__ = _with(OwnSteps, type(layer.attention))


def remove_unit(layer: nn.Module, unit: str) -> None:
    """Take a unit and its weights out of a layer with optional units."""
    for name in UNIT_MODULES[unit]:
        setattr(layer, name, None)
