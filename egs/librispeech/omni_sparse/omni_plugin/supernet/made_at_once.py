# SPDX-License-Identifier: Apache-2.0
"""Masked weights that are made when a pass begins, and live as long as it or its graph."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

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
    # torch.compile asks where a module found a weight, but not whether another place has it by now:
    # what it once compiled for the dense network it would run for all. It does ask for the class.
    modules = {m for m, *_ in places} if "torch._dynamo" in sys.modules else ()
    classes = {module: type(module) for module in modules}
    try:
        for module, attribute, weight in places:
            # Python looks here before it asks nn.Module for its registered parameters.
            module.__dict__[attribute] = weight
        for module, its_class in classes.items():
            module.__class__ = _masked_class(its_class)
        yield
    finally:
        for module, its_class in classes.items():
            module.__class__ = its_class
        for module, attribute, _ in places:
            module.__dict__.pop(attribute, None)


@functools.cache
def _masked_class(base: type[nn.Module]) -> type[nn.Module]:
    """A class like ``base``, equal in name, which messages show."""
    return type(base.__name__, (base,), {"__module__": base.__module__})
