# SPDX-License-Identifier: Apache-2.0
"""Sub-networks of a model as bands of blocks: each band has what the next denser one adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.runtime.blocks import ROWS, Band, pad_rows, take, to_blocks


@dataclass
class PackedLayer:
    """A linear layer of some sub-networks.

    Args:
      shape: Of the weight, ``(rows, cols)``.
      bands: The sparsest sub-network's blocks, then what denser ones add.
      numbers: How many bands each sub-network uses; one that is not named uses none.
      bias, scales: As :class:`~omni_plugin.runtime.blocks.BlockMatrix` has them.
    """

    shape: tuple[int, int]
    bands: list[Band]
    numbers: dict[str, int]
    bias: Tensor
    scales: Tensor


@dataclass
class Packed:
    """Sub-networks of a model.

    Args:
      subnets: Their names, in the order given.
      layers: By the names of their modules; one of a sub-network's own by ``<subnet>/<module>``.
      tensors: All others, by their names in the state dict or such ones.
      own: By sub-network what these are called of whose values it has its own.
    """

    subnets: list[str] = field(default_factory=list)
    layers: dict[str, PackedLayer] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    own: dict[str, dict[str, str]] = field(default_factory=dict)


class _Matrix:
    """Gathers the blocks of a linear layer over sub-networks that share them."""

    def __init__(self) -> None:
        self.blocks: Tensor | None = None  # of all sub-networks so far
        self.keeps: dict[str, Tensor] = {}
        self.bias: Tensor | None = None

    def refusal(self, name: str, subnet: str, blocks: Tensor, bias: Tensor | None) -> str:
        """Why a further sub-network cannot share them; empty if it can."""
        if self.blocks is None:
            return ""
        keep = _kept(blocks)
        seen = _kept(self.blocks) & keep
        if not torch.equal(self.blocks[seen], blocks[seen]):
            return (
                f"{name}: the sub-networks differ in weights that both keep; one file holds "
                "sub-networks of one supernet with a pattern of whole 8x1 blocks"
            )
        for other, kept in self.keeps.items():
            if bool((kept & ~keep).any()) and bool((keep & ~kept).any()):
                lacks = subnet if int(keep.sum()) >= int(kept.sum()) else other
                return (
                    f"{name}: sub-network {lacks} lacks blocks that a sparser one has; pack "
                    "sub-networks that are not nested in files of their own"
                )
        if not _same(self.bias, bias):
            return _other_value(f"{name}.bias", subnet)
        return ""

    def add(self, subnet: str, shape: tuple[int, int], blocks: Tensor, bias: Tensor | None) -> None:
        keep = _kept(blocks)
        if self.blocks is None:
            self.shape, self.blocks = shape, torch.zeros_like(blocks)
            self.bias = None if bias is None else bias.detach().clone()
        self.blocks = torch.where(keep[:, :, None], blocks, self.blocks)
        self.keeps[subnet] = keep

    def finish(self, values: str) -> PackedLayer:
        rows, blocks = self.shape[0], self.blocks
        bias = torch.zeros(rows) if self.bias is None else self.bias.float()
        scales = torch.ones(len(blocks) * ROWS)
        if values == "int8":
            largest = blocks.abs().amax(1).flatten()
            scales = torch.where(largest > 0, largest / 127, scales)
            blocks = (blocks / scales.view(-1, 1, ROWS)).round().to(torch.int8)
        bands: list[Band] = []
        numbers: dict[str, int] = {}
        before = torch.zeros_like(blocks[:, :, 0], dtype=torch.bool)
        for subnet in sorted(self.keeps, key=lambda name: int(self.keeps[name].sum())):
            keep = self.keeps[subnet]
            if not bands or not torch.equal(before, keep):
                bands.append(take(blocks, keep & ~before))
            before, numbers[subnet] = keep, len(bands)
        return PackedLayer(self.shape, bands, numbers, pad_rows(bias), scales)


def _kept(blocks: Tensor) -> Tensor:
    return (blocks != 0).any(2)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and torch.equal(one, other)


def _other_value(name: str, subnet: str) -> str:
    return f"{name}: sub-network {subnet} has another value than the first"


class _Packer:
    """Gathers sub-networks, one after the other."""

    def __init__(self, linears: list[str], own_values: bool) -> None:
        self._linears, self._own_values = linears, own_values
        # What is stored of each part, by the names that it is stored under; the first is its own.
        self._matrices: dict[str, dict[str, _Matrix]] = {name: {} for name in linears}
        self._tensors: dict[str, dict[str, Tensor]] = {}
        self.packed = Packed()

    def add(self, subnet: str, state: Mapping[str, Tensor]) -> None:
        if subnet in self.packed.subnets:
            raise OmniError(f"two sub-networks are called {subnet!r}; give each a name of its own")
        self.packed.subnets.append(subnet)
        rest = dict(state)
        for name in self._linears:
            parts = rest.pop(f"{name}.weight"), rest.pop(f"{name}.bias", None)
            self._add_matrix(subnet, name, *parts)
        for name, value in rest.items():
            self._add_tensor(subnet, name, value.detach())

    def _add_matrix(self, subnet: str, name: str, weight: Tensor, bias: Tensor | None) -> None:
        blocks, stored = to_blocks(weight.detach().float()), self._matrices[name]
        whys = {called: one.refusal(name, subnet, blocks, bias) for called, one in stored.items()}
        called = next((called for called, why in whys.items() if not why), None)
        if called is None:
            called = self._name_for(subnet, name, whys.get(name))
            stored[called] = _Matrix()
        stored[called].add(subnet, tuple(weight.shape), blocks, bias)
        self._use(subnet, name, called)

    def _add_tensor(self, subnet: str, name: str, value: Tensor) -> None:
        stored = self._tensors.setdefault(name, {})
        called = next((called for called, one in stored.items() if _same(one, value)), None)
        if called is None:
            called = self._name_for(subnet, name, _other_value(name, subnet) if stored else None)
            stored[called] = value.clone()
        self._use(subnet, name, called)

    def _name_for(self, subnet: str, name: str, why: str | None) -> str:
        """What a part is stored as; ``why`` it needs to be again, None of the first."""
        if why is None:
            return name
        if not self._own_values:
            raise OmniError(why)
        called = f"{subnet}/{name}"
        if called in self._linears or called in self._tensors:
            raise OmniError(f"two parts would be called {called!r}; give {subnet!r} another name")
        return called

    def _use(self, subnet: str, name: str, called: str) -> None:
        if called != name:
            self.packed.own.setdefault(subnet, {})[name] = called

    def finish(self, values: str) -> Packed:
        packed = self.packed
        layers = {k: v for stored in self._matrices.values() for k, v in stored.items()}
        tensors = {k: v for stored in self._tensors.values() for k, v in stored.items()}
        # Those of all first, then those of each sub-network, together.
        own = [called for of_one in packed.own.values() for called in of_one.values()]
        order = [*(name for name in [*layers, *tensors] if name not in set(own)), *own]
        packed.layers = {name: layers[name].finish(values) for name in order if name in layers}
        packed.tensors = {name: tensors[name] for name in order if name in tensors}
        return packed


def linear_names(model: nn.Module) -> list[str]:
    """Modules within a model that can be packed: ``nn.Linear`` and no class derived from it."""
    return [name for name, module in model.named_modules() if name and type(module) is nn.Linear]


def pack(
    model: nn.Module,
    states: Iterable[tuple[str, Mapping[str, Tensor]]],
    values: str = "float32",
    own_values: bool = False,
) -> Packed:
    """Pack the linear layers of sub-networks; what is zero in a whole 8x1 block is left out.

    Args:
      model: Says which of the state's tensors belong to linear layers.
      states: Names of sub-networks and their baked state dicts, one after the other, so that only
        one need be in memory.
      values: ``float32``, or ``int8`` with a scale for each row.
      own_values: Whether sub-networks may differ in what they keep, as those of several trainings
        do: what one cannot share with those before it is stored again.

    Raises:
      OmniError: The sub-networks are not nested, or differ in values, without ``own_values``; two
        have the same name, or other parts than the first; there is none.
    """
    linears = linear_names(model)
    packer, parts = _Packer(linears, own_values), None
    for subnet, state in states:
        shapes = {name: value.shape for name, value in state.items()}
        if parts is not None and shapes != parts:
            raise OmniError(f"sub-network {subnet} has other parts than the first, or other shapes")
        parts = shapes
        packer.add(subnet, state)
    if parts is None:
        raise OmniError("there is no sub-network to pack")
    if not linears:
        raise OmniError("the model has no plain linear layer to pack")
    return packer.finish(values)
