# SPDX-License-Identifier: Apache-2.0
"""Masked weights that are made when a module reads them."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from omni_plugin.supernet.masked_weight import MaskedWeight

_READS = "_omni_sparse_reads"


class _Saved(NamedTuple):
    """A view of a masked weight that backward will want: how to make it."""

    made_of: tuple[MaskedWeight, Tensor]
    size: torch.Size
    stride: tuple[int, ...]
    offset: int
    version: int


@contextmanager
def made_when_read(layers: Sequence[MaskedWeight]) -> Iterator[None]:
    """Within it, modules that read a weight of these layers get it masked, and differentiable.

    What is made lives as long as the context or the graph. For a GPU, which would idle while all
    of them are asked for before it has anything else to do.

    Args:
      layers: At the levels they are to have.
    """
    with _reading([(layer, functools.cache(layer.product)) for layer in layers]):
        yield


@contextmanager
def made_on_demand(layers: Sequence[MaskedWeight]) -> Iterator[None]:
    """The same, but what is made does not live on, and is made again for backward.

    A pass that holds its masked weights from its first layer to the end of backward needs a second
    copy of the weights while the lattice of the loss takes most memory. This costs some time
    instead.

    Args:
      layers: At the levels they are to have; which may change once the context is closed, even
        before backward.

    Raises:
      RuntimeError: In backward, where the dense weights were changed in place after forward.
    """
    sizes = {layer.parameter.numel() for layer in layers}
    alive: dict[int, tuple[weakref.ref, tuple[MaskedWeight, Tensor]]] = {}

    def read(layer: MaskedWeight, keep: Tensor) -> Tensor:
        value = layer.pattern.apply(layer.parameter, keep)
        alive[_address(value)] = weakref.ref(value), (layer, keep)
        return value

    def pack(tensor: Tensor) -> Tensor | _Saved:
        found, made_of = None, None
        if tensor.numel() in sizes and tensor.layout == torch.strided:
            found, made_of = alive.get(_address(tensor), (None, None))
        if found is None or found() is None:  # another tensor may have the place of one that died
            # As it is, an operation's output would hold the operation, which holds it.
            return tensor.detach()
        version = made_of[0].parameter._version
        return _Saved(made_of, tensor.size(), tensor.stride(), tensor.storage_offset(), version)

    def unpack(saved: Tensor | _Saved) -> Tensor:
        if isinstance(saved, Tensor):
            return saved
        layer, keep = saved.made_of
        if layer.parameter._version != saved.version:
            raise RuntimeError(
                f"{layer.weight.name} was changed in place between forward and backward; "
                "call backward before the optimizer's step"
            )
        with torch.no_grad():
            value = layer.pattern.apply(layer.parameter, keep)
        return value.as_strided(saved.size, saved.stride, saved.offset)

    reads = [(layer, functools.partial(read, layer, layer.keep())) for layer in layers]
    with _reading(reads), saved_tensors_hooks(pack, unpack):
        yield


@contextmanager
def _reading(reads: Sequence[tuple[MaskedWeight, Callable[[], Tensor]]]) -> Iterator[None]:
    """Within it, modules that read a weight of a layer call a function for it."""
    by_module: dict[nn.Module, dict[str, Callable[[], Tensor]]] = {}
    for layer, read in reads:
        for module, attribute in layer.weight.places:
            by_module.setdefault(module, {})[attribute] = read
    try:
        for module, found in by_module.items():
            module.__dict__[_READS] = found
            module.__class__ = _reading_class(type(module), tuple(sorted(found)))
        yield
    finally:
        for module in by_module:
            if module.__dict__.pop(_READS, None) is not None:
                module.__class__ = type(module).__base__


@functools.cache
def _reading_class(base: type, attributes: tuple[str, ...]) -> type:
    """A class like ``base`` in which these attributes are made when they are read.

    As torch's parametrizations do it: a property comes before nn.Module's registered parameters.
    """

    def getter(attribute: str) -> property:
        return property(lambda module: module.__dict__[_READS][attribute]())

    # Equal in name, which messages show.
    return type(base.__name__, (base,), {name: getter(name) for name in attributes})


def _address(tensor: Tensor) -> int:
    """Where the storage begins: a view's is that of what it is a view of."""
    return tensor.data_ptr() - tensor.storage_offset() * tensor.element_size()
