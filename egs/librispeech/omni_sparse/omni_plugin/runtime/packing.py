# SPDX-License-Identifier: Apache-2.0
"""Sub-networks of a model as bands of blocks: each band has what the next denser one adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
      numbers: How many bands each sub-network uses.
      bias, scales: As :class:`~omni_plugin.runtime.blocks.BlockMatrix` has them.
    """

    shape: tuple[int, int]
    bands: list[Band]
    numbers: dict[str, int]
    bias: Tensor
    scales: Tensor


@dataclass
class Packed:
    """A model's sub-networks.

    Args:
      subnets: Their names, in the order given.
      layers, tensors: Linear layers and all other tensors, by the names they are stored under.
      own: For each sub-network, the parts that it has values of its own for, or shares with some
        others only: under which name they are stored.
    """

    subnets: list[str] = field(default_factory=list)
    layers: dict[str, PackedLayer] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    own: dict[str, dict[str, str]] = field(default_factory=dict)


class _Matrix:
    """Gathers the blocks of a layer over sub-networks that share their values."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.shape, self.bias = tuple(weight.shape), bias
        self.blocks = torch.zeros_like(to_blocks(weight.detach().float()))
        self.keeps: dict[str, Tensor] = {}

    def why_not(self, subnet: str, weight: Tensor, bias: Tensor | None) -> str:
        """Why a sub-network cannot share these values; empty if it can."""
        if bias is not None and not torch.equal(bias, self.bias):
            return f"bias: sub-network {subnet} has another value than the first"
        found = to_blocks(weight.detach().float())
        keep = (found != 0).any(2)
        seen = (self.blocks != 0).any(2) & keep
        if not torch.equal(self.blocks[seen], found[seen]):
            return (
                "the sub-networks differ in weights that both keep; one file holds "
                "sub-networks of one supernet with a pattern of whole 8x1 blocks"
            )
        for other, kept in self.keeps.items():
            fewer, more, larger = kept, keep, subnet
            if kept.sum() > keep.sum():
                fewer, more, larger = keep, kept, other
            if bool((fewer & ~more).any()):
                return (
                    f"sub-network {larger} lacks blocks that a sparser one has; pack "
                    "sub-networks that are not nested in files of their own"
                )
        return ""

    def add(self, subnet: str, weight: Tensor) -> None:
        found = to_blocks(weight.detach().float())
        keep = (found != 0).any(2)
        self.blocks = torch.where(keep[:, :, None], found, self.blocks)
        self.keeps[subnet] = keep

    def finish(self, values: str) -> PackedLayer:
        rows, blocks = self.shape[0], self.blocks
        bias = torch.zeros(rows) if self.bias is None else self.bias.detach().float()
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
        numbers = {subnet: numbers[subnet] for subnet in self.keeps}  # in the order given
        return PackedLayer(self.shape, bands, numbers, pad_rows(bias), scales)


class _Constant:
    """A tensor that is not of a linear layer."""

    def __init__(self, value: Tensor) -> None:
        self.value = value.detach().clone()

    def why_not(self, subnet: str, value: Tensor) -> str:
        """As :meth:`_Matrix.why_not`."""
        same = torch.equal(value, self.value)
        return "" if same else f"sub-network {subnet} has another value than the first"

    def add(self, subnet: str, value: Tensor) -> None:
        pass


class _Collector:
    """Gathers the values of the model's parts, and which of them each sub-network has."""

    def __init__(self, own_values: bool) -> None:
        self._own_values = own_values
        self.stored: dict[str, dict[str, _Matrix | _Constant]] = {}  # by part, then by stored name
        self.own: dict[str, dict[str, str]] = {}

    def add(self, subnet: str, part: str, kind: type[_Matrix | _Constant], *values: Any) -> None:
        """Have a part of a sub-network share what is stored, or else store it.

        Raises:
          OmniError: It cannot share what others have, and may have nothing of its own.
        """
        known = self.stored.setdefault(part, {})
        problems = {name: one.why_not(subnet, *values) for name, one in known.items()}
        stored = next((name for name, why in problems.items() if not why), None)
        if stored is None:
            if known and not self._own_values:
                why = problems[part]
                raise OmniError(f"{part}{'.' if why.startswith('bias') else ': '}{why}")
            stored = f"{subnet}/{part}" if known else part
            known[stored] = kind(*values)
        known[stored].add(subnet, values[0])
        if stored != part:
            self.own.setdefault(subnet, {})[part] = stored


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
      own_values: Whether sub-networks may differ: what they share is there once, and what is of
        one's own besides. Else they must be nested sub-networks of one weight set.

    Raises:
      OmniError: The sub-networks are not nested, or differ in other tensors, and may not; two have
        the same name; there is none.
    """
    found, collector = Packed(), _Collector(own_values)
    linear = linear_names(model)
    of_linear = {f"{name}.{part}" for name in linear for part in ("weight", "bias")}
    for subnet, state in states:
        if subnet in found.subnets:
            raise OmniError(f"two sub-networks are called {subnet!r}; give each a name of its own")
        found.subnets.append(subnet)
        for name in linear:
            weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
            collector.add(subnet, name, _Matrix, weight, bias)
        for name, value in state.items():
            if name not in of_linear:
                collector.add(subnet, name, _Constant, value)
    if not found.subnets:
        raise OmniError("there is no sub-network to pack")
    if not linear:
        raise OmniError("the model has no plain linear layer to pack")
    for stored in collector.stored.values():
        for name, one in stored.items():
            if isinstance(one, _Matrix):
                found.layers[name] = one.finish(values)
            else:
                found.tensors[name] = one.value
    found.own = collector.own
    return found
