# SPDX-License-Identifier: Apache-2.0
"""Masked weights that are made when a pass begins, and live as long as it or its graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from omni_plugin.supernet.masked_weight import MaskedWeight


@contextmanager
def made_at_once(layers: Sequence[MaskedWeight]) -> Iterator[None]:
    """Within it, modules see these layers' weights masked; differentiable where gradients are on.

    Args:
      layers: At the levels they are to have.
    """
    make = MaskedWeight.product if torch.is_grad_enabled() else MaskedWeight.copy
    places = [
        (*place, weight)
        for layer in layers
        for weight in (make(layer),)
        for place in layer.weight.places
    ]
    try:
        for module, attribute, weight in places:
            # Python looks here before it asks nn.Module for its registered parameters.
            module.__dict__[attribute] = weight
        yield
    finally:
        for module, attribute, _ in places:
            module.__dict__.pop(attribute, None)
