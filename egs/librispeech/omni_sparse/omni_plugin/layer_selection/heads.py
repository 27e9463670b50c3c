# SPDX-License-Identifier: Apache-2.0
"""Modules of which each smaller size has a copy of its own, such as what reads the encoder."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from omni_plugin.errors import OmniError
from omni_plugin.layer_selection.units import find_units

#: Attribute of the model that has the copies, so that they are trained, averaged and saved as its
#: other weights are.
ATTRIBUTE = "size_heads"


def attach_heads(model: nn.Module, include: Sequence[str], sizes: Sequence[str]) -> None:
    """Give each size copies of the modules that rules on their names find; none without rules.

    Raises:
      OmniError: A rule finds nothing, or a module within another one that is found.
    """
    if not include:
        return
    if hasattr(model, ATTRIBUTE):
        raise OmniError(f"the model has {ATTRIBUTE} already; select its layers once")
    names = find_units(model, include, "layers.heads")
    modules = {name: model.get_submodule(name) for name in names}
    # No dots in the keys of a ModuleDict.
    heads = {
        size: nn.ModuleDict(
            {name.replace(".", "/"): copy.deepcopy(m) for name, m in modules.items()}
        )
        for size in sizes
    }
    setattr(model, ATTRIBUTE, nn.ModuleDict(heads))


def heads_of(model: nn.Module, size: str) -> dict[str, nn.Module]:
    """A size's own modules by the names of those they stand for; none for sizes without."""
    heads = getattr(model, ATTRIBUTE, {})
    return {key.replace("/", "."): m for key, m in heads[size].items()} if size in heads else {}


@torch.no_grad()
def start_heads(model: nn.Module, size: str) -> None:
    """Set a size's own modules to the whole model's."""
    for name, head in heads_of(model, size).items():
        head.load_state_dict(model.get_submodule(name).state_dict())
