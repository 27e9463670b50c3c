# SPDX-License-Identifier: Apache-2.0
"""Files of sub-networks whose bytes shrink with their weights."""

from __future__ import annotations

import ctypes
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.options import said_of
from omni_plugin.runtime.blocks import ROWS, Band, BlockMatrix
from omni_plugin.runtime.header import (
    ALIGNMENT,
    TENSOR_TYPES,
    VALUE_TYPES,
    Entry,
    Header,
    Layer,
    Section,
    read_header,
)
from omni_plugin.runtime.linear import PackedLinear
from omni_plugin.runtime.packing import pack


def write_packed(
    path: Path,
    model: nn.Module,
    states: Iterable[tuple[str, Mapping[str, Tensor]]],
    values: str = "float32",
    meta: Mapping[str, Any] | None = None,
    own_values: bool = False,
) -> None:
    """Write sub-networks of a model to one file; a block that several have is there once.

    The blocks of the sparsest come first, and what denser ones add comes after, so that the
    sparser a sub-network is, the fewer bytes are read.

    Args:
      path: Of the file, which must not exist.
      model, states, values, own_values: See :func:`omni_plugin.runtime.packing.pack`.
      meta: What the reader shall know, in types of JSON.

    Raises:
      OmniError: There is a file at ``path``; and as :func:`~omni_plugin.runtime.packing.pack`.
      OSError: It cannot be written.
    """
    if path.exists():
        raise OmniError(f"{path} exists; delete it or choose another name")
    if values not in VALUE_TYPES:
        raise OmniError(f"values {values!r} are unknown; known: {', '.join(VALUE_TYPES)}")
    packed = pack(model, states, values, own_values)
    layers, body = packed.layers, _Body()
    header = Header(meta=dict(meta or {}), own=packed.own)
    for name, tensor in packed.tensors.items():
        kind, tensor = str(tensor.dtype).removeprefix("torch."), tensor.cpu().contiguous()
        if kind not in TENSOR_TYPES:
            raise OmniError(f"{name}: a tensor of {tensor.dtype} cannot be packed")
        header.tensors.append(Entry(name, kind, tuple(tensor.shape), body.add(tensor)))
    for name, layer in layers.items():
        scales = [layer.scales] if values == "int8" else []
        rest = body.add(layer.bias, *scales)
        header.layers.append(Layer(name, *layer.shape, values, rest=rest))
    for number in range(max(len(layer.bands) for layer in layers.values())):
        for entry, layer in zip(header.layers, layers.values(), strict=True):
            for band in layer.bands[number : number + 1]:
                section = body.add(band.values, band.columns, band.counts)
                entry.bands.append((len(band.columns), section))
    for subnet in packed.subnets:
        header.subnets[subnet] = [layer.numbers.get(subnet, 0) for layer in layers.values()]
    header.size = body.size
    encoded = header.encode()
    with said_of(f"{path}: cannot be written"):
        # By the reader's own rules: what it would refuse is not written.
        read_header(io.BytesIO(encoded), len(encoded) + header.size)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(part, "wb") as file:
            file.write(encoded)
            for data in body.parts:
                file.write(_bytes(data))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class _Body:
    """The sections of a file to be."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.size = 0

    def add(self, *tensors: Tensor) -> Section:
        """A section of the bytes of some tensors."""
        offset, checksum = self.size, 0
        for tensor in tensors:
            checksum = zlib.crc32(_bytes(tensor), checksum)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        filling = torch.zeros(-size % ALIGNMENT, dtype=torch.uint8)
        self.parts += [*tensors, filling]
        self.size += size + len(filling)
        return Section(offset, size, checksum)


class PackedFile:
    """A packed file; all that is read of it is checked.

    Args:
      path: Of the file.

    Attributes:
      meta: What its maker said.
      subnets: Names of its sub-networks.
      values: Type of its weights: ``float32`` or ``int8``.
      size: Its bytes.

    Raises:
      OmniError: It is missing, no packed file, of another version, truncated or altered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            self.size = os.fstat(file.fileno()).st_size
            self._header, self._begin = read_header(file, self.size)
        self.meta, self.subnets = self._header.meta, list(self._header.subnets)
        self.values = next((layer.kind for layer in self._header.layers), "float32")

    def bytes_of(self, subnet: str) -> int:
        """Bytes of weights that a sub-network reads; the header is not counted.

        Raises:
          OmniError: There is no such sub-network.
        """
        sections = [entry.section for _, entry in self._known(subnet).tensors_of(subnet)]
        for _, layer, number in self._header.layers_of(subnet):
            sections += [layer.rest, *(section for _, section in layer.bands[:number])]
        return sum(section.size for section in sections)

    def matrices(self, subnet: str) -> dict[str, BlockMatrix]:
        """The linear layers of a sub-network by their names.

        Raises:
          OmniError: There is no such sub-network, or the file is damaged.
        """
        layers = self._known(subnet).layers_of(subnet)
        with self._open() as file:
            return {name: self._matrix(file, layer, number) for name, layer, number in layers}

    def tensors(self, subnet: str | None = None) -> dict[str, Tensor]:
        """The other tensors of a sub-network.

        Args:
          subnet: Its name; None for the first one, whose they are of all sub-networks that have no
            values of their own.

        Raises:
          OmniError: There is no such sub-network, or the file is damaged.
        """
        name = self.subnets[0] if subnet is None else subnet
        entries = self._known(name).tensors_of(name)
        with self._open() as file:
            return {
                name: self._read(file, entry.section)
                .view(getattr(torch, entry.kind))
                .view(entry.shape)
                for name, entry in entries
            }

    def _known(self, subnet: str) -> Header:
        """The header, which has a sub-network of this name."""
        if subnet not in self.subnets:
            known = ", ".join(self.subnets)
            raise OmniError(f"{self.path}: no sub-network is called {subnet!r}; known: {known}")
        return self._header

    def _matrix(self, file: BinaryIO, layer: Layer, number: int) -> BlockMatrix:
        bands = []
        for blocks, section in layer.bands[:number]:
            data, width = self._read(file, section), ROWS * VALUE_TYPES[layer.kind]
            values, columns, counts = data.split([width * blocks, 2 * blocks, 2 * layer.groups])
            values = values.view(getattr(torch, layer.kind)).view(blocks, ROWS)
            bands.append(Band(counts.view(torch.int16), columns.view(torch.int16), values))
        bias, *scales = self._read(file, layer.rest).view(torch.float32).split(layer.groups * ROWS)
        scales = scales[0] if scales else torch.ones_like(bias)
        return BlockMatrix.from_bands((layer.rows, layer.cols), bands, bias, scales)

    def _read(self, file: BinaryIO, section: Section) -> Tensor:
        data = torch.empty(section.size, dtype=torch.uint8)
        file.seek(self._begin + section.offset)
        length = file.readinto(_bytes(data))
        if length != section.size or zlib.crc32(_bytes(data)) != section.checksum:
            raise OmniError(f"{section.size} bytes at {section.offset} are damaged")
        return data

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            with open(self.path, "rb") as file:
                yield file
        except OSError as e:
            raise OmniError(f"{self.path}: cannot be read ({e.strerror})") from e
        except OmniError as e:
            raise OmniError(f"{self.path}: {e}; make or fetch it again") from e


def use_packed(model: nn.Module, file: PackedFile, subnet: str) -> None:
    """Make a model a sub-network of a packed file, in place; again, to switch to another one.

    Its linear layers become :class:`PackedLinear`, and its other tensors those of the file.

    Raises:
      OmniError: The model is of another make, there is no such sub-network, or the file is damaged.
    """
    matrices, tensors = file.matrices(subnet), file.tensors(subnet)
    modules = dict(model.named_modules())
    for name, matrix in matrices.items():
        linear = modules.get(name)
        shape = (getattr(linear, "out_features", None), getattr(linear, "in_features", None))
        if shape != (matrix.rows, matrix.cols):
            raise OmniError(f"{file.path}: {name} is of shape {(matrix.rows, matrix.cols)} there")
    for name, matrix in matrices.items():
        parent, _, attribute = name.rpartition(".")
        setattr(modules[parent], attribute, PackedLinear(matrix))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as e:
        why = " ".join(str(e).split())[:200]
        raise OmniError(f"{file.path}: does not fit the model ({why})") from e


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    size = tensor.numel() * tensor.element_size()
    if not size:
        return memoryview(bytearray())
    return memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())).cast("B")
