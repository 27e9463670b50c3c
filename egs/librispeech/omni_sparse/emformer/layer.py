# SPDX-License-Identifier: Apache-2.0
"""torchaudio's Emformer with units that may be left out, and without waiting for a device."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

#: Modules of each residual unit; the last gives what is added to the layer's input.
UNIT_MODULES = {"attention": ("layer_norm_input", "attention", "dropout"), "ffn": ("pos_ff",)}


class OptionalUnits:
    """Steps of torchaudio's layer that do without a unit whose modules are None.

    ``x`` then goes on unchanged, nothing is computed for the unit, and a layer without attention
    keeps no keys and values. ``layer_norm_output`` is always there. With all units, the layer's
    outputs are torchaudio's bit for bit. Shapes are those of torchaudio's private methods of the
    same names; the Emformer has no memory elements.
    """

    def _apply_pre_attention_layer_norm(
        self, utterance: Tensor, right_context: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.attention is None:
            return utterance, right_context
        return super()._apply_pre_attention_layer_norm(utterance, right_context)

    def _apply_attention_forward(
        self, utterance: Tensor, lengths: Tensor, right_context: Tensor, mems: Tensor, mask: Tensor
    ) -> tuple[Tensor | None, Tensor]:
        if self.attention is None:
            return None, mems
        return super()._apply_attention_forward(utterance, lengths, right_context, mems, mask)

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
        if self.pos_ff is not None:
            x = self.pos_ff(x) + x
        return self.layer_norm_output(x)


class LengthsOnHost:
    """Attention that takes lengths on the host, wherever all else is.

    torchaudio makes a padding mask from the lengths in each layer and reads the longest of them
    for it. Of lengths on a GPU the host would have to wait for it each time.
    """

    def _gen_attention_probs(
        self, attention_weights: Tensor, attention_mask: Tensor, padding_mask: Tensor | None
    ) -> Tensor:
        if padding_mask is not None:
            padding_mask = padding_mask.to(attention_weights.device, non_blocking=True)
        return super()._gen_attention_probs(attention_weights, attention_mask, padding_mask)


class FewMaskSteps:
    """An Emformer whose attention mask takes a dozen operations on any device.

    torchaudio puts it together of fourteen small tensors a chunk, which for long utterances are
    most of what a GPU is asked to do. The Emformer has no memory elements.
    """

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
    emformer.__class__ = _with(FewMaskSteps, type(emformer))
    for layer in emformer.emformer_layers:
        layer.__class__ = _with(OptionalUnits, type(layer))
        layer.attention.__class__ = _with(LengthsOnHost, type(layer.attention))


def remove_unit(layer: nn.Module, unit: str) -> None:
    """Take a unit and its weights out of a layer with optional units."""
    for name in UNIT_MODULES[unit]:
        setattr(layer, name, None)
