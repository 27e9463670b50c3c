# SPDX-License-Identifier: Apache-2.0
"""Layers of torchaudio's Emformer whose residual units may be left out."""

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


@functools.cache
def _with_optional_units(base: type[nn.Module]) -> type[nn.Module]:
    return type("EmformerLayer", (OptionalUnits, base), {})


def make_units_optional(layer: nn.Module) -> None:
    """Let a layer of torchaudio do without units, in place; its weights and names stay."""
    layer.__class__ = _with_optional_units(type(layer))


def remove_unit(layer: nn.Module, unit: str) -> None:
    """Take a unit and its weights out of a layer with optional units."""
    for name in UNIT_MODULES[unit]:
        setattr(layer, name, None)
