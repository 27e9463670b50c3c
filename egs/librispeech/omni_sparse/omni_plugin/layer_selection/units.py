# SPDX-License-Identifier: Apache-2.0
"""Residual units of a model: what a sub-network of fewer layers leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.supernet.rules import names_found

#: Modules of each residual unit by its name, in the order of the model. ``x + unit(x)`` adds what
#: the last of them gives, a tensor of x's shape.
Units = Mapping[str, tuple[str, ...]]


class Zeros(nn.Module):
    """Stands where a unit was, in models that run ``x + unit(x)`` whatever the unit is."""

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        return torch.zeros_like(x)


def find_units(
    model: nn.Module, include: Sequence[str], what: str = "unit"
) -> dict[str, tuple[str, ...]]:
    """Units of one module each, by regular expressions on the modules' names (``re.search``).

    Raises:
      OmniError: A rule finds nothing, or a unit (or ``what`` else it is) lies within another.

    >>> model = nn.ModuleDict({"ffn": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})
    >>> find_units(model, ["ffn$"])
    {'ffn': ('ffn',)}
    """
    names = [name for name, _ in model.named_modules() if name]
    found = {
        name
        for rule in include
        for name in names_found(rule, names, f"{what} rule", "finds no module")
    }
    units = {name: (name,) for name in names if name in found}
    for name in units:
        inner = next((other for other in units if other.startswith(f"{name}.")), None)
        if inner:
            raise OmniError(f"{what} {inner} lies within {name}; let the rules find one of them")
    return units


def owner_of(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that has a module, and its attribute.

    Raises:
      OmniError: The model has no module of that name.
    """
    path, _, attribute = name.rpartition(".")
    try:
        owner = model.get_submodule(path)
        owner.get_submodule(attribute)
    except AttributeError:
        raise OmniError(f"the model has no module {name}") from None
    return owner, attribute


@contextmanager
def swapped(model: nn.Module, modules: Mapping[str, nn.Module | None]) -> Iterator[None]:
    """Within it, the model has other modules (or None) under some names."""
    places = {name: owner_of(model, name) for name in modules}
    were = {name: owner._modules[attribute] for name, (owner, attribute) in places.items()}
    try:
        for name, (owner, attribute) in places.items():
            owner._modules[attribute] = modules[name]
        yield
    finally:
        for name, (owner, attribute) in places.items():
            owner._modules[attribute] = were[name]
