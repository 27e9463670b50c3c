# SPDX-License-Identifier: Apache-2.0
"""Whole layers of Zipformer as the units of a layer selection.

A layer ends in ``bypass(src_orig, src)``, a mean of what went into it and what it made of that.
That is the seat of its gate: 0 gives the layer's input, as if the layer were not there. So sizes
are ordinary Zipformers with other ``--num-encoder-layers``. The first layer of each stack is always
kept, since a stack without layers is none.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping

from torch import Tensor, nn

from omni_plugin.errors import OmniError

SEAT = "omni_seat"
_LAYER = re.compile(
    r"(?P<stack>.*encoders\.(?P<number>\d+)\..*?layers\.)(?P<layer>\d+)(?P<rest>\..*)"
)


class PassThrough(nn.Module):
    """Stands where a layer was."""

    def forward(self, src: Tensor, *args: object, **kwargs: object) -> Tensor:
        return src


def find_layers(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Units of a Zipformer by name, such as ``stack 1 layer 2``, and a seat for each gate.

    Raises:
      OmniError: The model has no stack of two or more layers.
    """
    units = {}
    for name, module in model.named_modules():
        found = _LAYER.fullmatch(name)
        if found is None or found["rest"] != ".bypass" or found["layer"] == "0":
            continue
        _seat(module)
        layer = f"{found['stack']}{found['layer']}"
        # The seat comes last: what its Identity gives is what the layer adds.
        units[f"stack {found['number']} layer {found['layer']}"] = (layer, f"{name}.{SEAT}")
    if not units:
        raise OmniError(
            "--omni-layers: no stack of Zipformer layers with two or more; leave it out"
        )
    return units


def _seat(bypass: nn.Module) -> None:
    bypass.add_module(SEAT, nn.Identity())
    bypass.forward = types.MethodType(_forward, bypass)


def _forward(self: nn.Module, src_orig: Tensor, src: Tensor) -> Tensor:
    """As the class's own, exactly; with a gate, of what is added to the layer's input."""
    out = type(self).forward(self, src_orig, src)
    seat = getattr(self, SEAT)
    return src_orig + seat(out - src_orig) if seat._forward_hooks else out


def without_layers(
    weights: Mapping[str, Tensor], removed: Mapping[str, object], num_layers: str
) -> tuple[dict[str, Tensor], str]:
    """A state dict without some layers, those behind them renumbered, and what is left of each.

    Args:
      weights: Of the whole model.
      removed: Names of units.
      num_layers: ``--num-encoder-layers`` of the whole model.
    """
    gone = {tuple(map(int, re.findall(r"\d+", unit))) for unit in removed}
    counts = [
        int(count) - sum(stack == number for stack, _ in gone)
        for number, count in enumerate(num_layers.split(","))
    ]
    kept = {}
    for name, value in weights.items():
        found = _LAYER.fullmatch(name)
        if found is not None:
            stack, layer = int(found["number"]), int(found["layer"])
            if (stack, layer) in gone:
                continue
            layer -= sum(s == stack and other < layer for s, other in gone)
            name = f"{found['stack']}{layer}{found['rest']}"
        kept[name] = value
    return kept, ",".join(map(str, counts))
