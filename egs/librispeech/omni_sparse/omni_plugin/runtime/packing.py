# SPDX-License-Identifier: Apache-2.0
"""Sub-networks of a model as bands of blocks: each band has what the next denser one adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


class _Collector:
    """Gathers the blocks of a layer over sub-networks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.blocks: Tensor | None = None  # of all sub-networks so far
        self.keeps: dict[str, Tensor] = {}

    def add(self, subnet: str, weight: Tensor) -> None:
        self.shape, found = tuple(weight.shape), to_blocks(weight.detach().float())
        keep = (found != 0).any(2)
        if self.blocks is None:
            self.blocks = torch.zeros_like(found)
        seen = (self.blocks != 0).any(2) & keep
        if not torch.equal(self.blocks[seen], found[seen]):
            raise OmniError(
                f"{self.name}: the sub-networks differ in weights that both keep; one file holds "
                "sub-networks of one supernet with a pattern of whole 8x1 blocks"
            )
        self.blocks = torch.where(keep[:, :, None], found, self.blocks)
        self.keeps[subnet] = keep

    def finish(self, values: str, bias: Tensor | None) -> PackedLayer:
        rows, blocks = self.shape[0], self.blocks
        bias = torch.zeros(rows) if bias is None else bias.detach().float()
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
            if bool((before & ~keep).any()):
                raise OmniError(
                    f"{self.name}: sub-network {subnet} lacks blocks that a sparser one has; pack "
                    "sub-networks that are not nested in files of their own"
                )
            if not bands or not torch.equal(before, keep):
                bands.append(take(blocks, keep & ~before))
            before, numbers[subnet] = keep, len(bands)
        numbers = {subnet: numbers[subnet] for subnet in self.keeps}  # in the order given
        return PackedLayer(self.shape, bands, numbers, pad_rows(bias), scales)


def linear_names(model: nn.Module) -> list[str]:
    """Modules within a model that can be packed: ``nn.Linear`` and no class derived from it."""
    return [name for name, module in model.named_modules() if name and type(module) is nn.Linear]


def pack(
    model: nn.Module,
    states: Iterable[tuple[str, Mapping[str, Tensor]]],
    values: str = "float32",
) -> tuple[dict[str, PackedLayer], dict[str, Tensor]]:
    """Pack the linear layers of sub-networks; what is zero in a whole 8x1 block is left out.

    Args:
      model: Says which of the state's tensors belong to linear layers.
      states: Names of sub-networks and their baked state dicts, one after the other, so that only
        one need be in memory.
      values: ``float32``, or ``int8`` with a scale for each row.

    Returns:
      The layers by the names of their modules, and all other tensors.

    Raises:
      OmniError: The sub-networks are not nested, or differ in other tensors; two have the same
        name; there is none.
    """
    collectors = {name: _Collector(name) for name in linear_names(model)}
    others: dict[str, Tensor] | None = None
    seen: set[str] = set()
    for subnet, state in states:
        if subnet in seen:
            raise OmniError(f"two sub-networks are called {subnet!r}; give each a name of its own")
        seen.add(subnet)
        for name, collector in collectors.items():
            collector.add(subnet, state[f"{name}.weight"])
        packed = {f"{name}.weight" for name in collectors}
        rest = {name: value for name, value in state.items() if name not in packed}
        if others is None:
            others = {name: value.detach().clone() for name, value in rest.items()}
        for name, value in others.items():
            if not torch.equal(rest[name], value):
                raise OmniError(f"{name}: sub-network {subnet} has another value than the first")
    if others is None:
        raise OmniError("there is no sub-network to pack")
    if not collectors:
        raise OmniError("the model has no plain linear layer to pack")
    layers = {
        name: collector.finish(values, others.pop(f"{name}.bias", None))
        for name, collector in collectors.items()
    }
    return layers, others
