# SPDX-License-Identifier: Apache-2.0
"""The header of a packed file: what the file holds, and where."""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from omni_plugin.errors import OmniError
from omni_plugin.runtime.blocks import MAX_COLUMNS, ROWS

#: Versions that are read. The first has no sub-network with values of its own, and whoever reads it
#: need not know of any.
VERSIONS = 1, 2
_MAGIC = b"OMNIPACK"
# Magic, version, bytes of the JSON text that follows, its CRC-32.
_START = struct.Struct("<8sIII")
#: Where sections begin: at a multiple of a cache line's bytes.
ALIGNMENT = 64
#: Types of a layer's values and of other tensors, and bytes of one element.
VALUE_TYPES = {"float32": 4, "int8": 1}
TENSOR_TYPES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "int32": 4}
TENSOR_TYPES |= {"int16": 2, "int8": 1, "uint8": 1, "bool": 1}


@dataclass(frozen=True)
class Section:
    """Bytes of a file, counted from the end of its header, and their CRC-32."""

    offset: int
    size: int
    checksum: int


@dataclass
class Layer:
    """A matrix and where its parts are.

    A band's section has the values, the columns (16 bits) and the counts (16 bits) of a
    :class:`~omni_plugin.runtime.blocks.Band`, one after the other.

    Args:
      name: Of the module.
      rows, cols: Outputs and inputs.
      kind: Type of the values.
      bands: Number of blocks and section of each band.
      rest: Section of the bias and, for int8, then the scales.
    """

    name: str
    rows: int
    cols: int
    kind: str
    bands: list[tuple[int, Section]] = field(default_factory=list)
    rest: Section | None = None

    @property
    def groups(self) -> int:
        """Block rows."""
        return -(-self.rows // ROWS)

    def band_size(self, blocks: int) -> int:
        return blocks * (ROWS * VALUE_TYPES[self.kind] + 2) + 2 * self.groups

    def rest_size(self) -> int:
        return self.groups * ROWS * 4 * (2 if self.kind == "int8" else 1)

    @property
    def form(self) -> tuple:
        """What another one needs to have to take its place."""
        return Layer, self.rows, self.cols, self.kind


@dataclass
class Entry:
    """Another tensor: its name in the state dict, type, shape and place."""

    name: str
    kind: str
    shape: tuple[int, ...]
    section: Section

    @property
    def form(self) -> tuple:
        """What another one needs to have to take its place."""
        return Entry, self.kind, self.shape

    @classmethod
    def size(cls, kind: str, shape: tuple[int, ...]) -> int:
        return TENSOR_TYPES[kind] * math.prod(shape)


@dataclass
class Header:
    """What a file holds.

    Args:
      size: Bytes of all sections.
      meta: What the maker of the file says about it, as JSON has it.
      subnets: By name, how many bands of each layer it uses; 0 of one that is another's.
      layers, tensors: The model's state.
      own: By sub-network, of which parts it has values of its own, and what these are called.
    """

    size: int = 0
    meta: dict[str, Any] = field(default_factory=dict)
    subnets: dict[str, list[int]] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    tensors: list[Entry] = field(default_factory=list)
    own: dict[str, dict[str, str]] = field(default_factory=dict)

    def layers_of(self, subnet: str) -> list[tuple[str, Layer, int]]:
        """A sub-network's layers: what it calls each, and how many of its bands it uses."""
        used = zip(self._parts_of(subnet, self.layers), self.subnets[subnet], strict=True)
        return [(name, layer, number) for (name, layer), number in used if name is not None]

    def tensors_of(self, subnet: str) -> list[tuple[str, Entry]]:
        """A sub-network's other tensors, and what it calls each."""
        return [pair for pair in self._parts_of(subnet, self.tensors) if pair[0] is not None]

    def _parts_of(self, subnet: str, parts: list) -> list[tuple[str | None, Any]]:
        """All parts, with what the sub-network calls them; None those that it does not use."""
        own = self.own.get(subnet, {})
        called = {name: None for names in self.own.values() for name in names.values()}
        called |= {name: None for name in own} | {stored: name for name, stored in own.items()}
        return [(called.get(part.name, part.name), part) for part in parts]

    def encode(self) -> bytes:
        """The header's bytes, filled up so that the sections are aligned."""
        layers = [
            [x.name, x.rows, x.cols, x.kind, _place(x.rest), [[n, *_place(s)] for n, s in x.bands]]
            for x in self.layers
        ]
        tensors = [[x.name, x.kind, x.shape, _place(x.section)] for x in self.tensors]
        data = {"size": self.size, "meta": self.meta, "subnets": self.subnets}
        data |= {"layers": layers, "tensors": tensors}
        version = 1
        if self.own:
            version, data["own"] = 2, self.own
        try:
            text = json.dumps(data, separators=(",", ":"))
        except (TypeError, ValueError) as e:
            raise OmniError(f"meta holds what JSON cannot: {e}") from None
        raw = text.encode()
        raw += b" " * (-(_START.size + len(raw)) % ALIGNMENT)
        return _START.pack(_MAGIC, version, len(raw), zlib.crc32(raw)) + raw


def read_header(file: BinaryIO, size: int) -> tuple[Header, int]:
    """The header of an open file of ``size`` bytes, and where the sections begin.

    Raises:
      OmniError: It is no packed file, of another version, or damaged; a number in it is impossible.
    """
    start = file.read(_START.size)
    if len(start) < _START.size or not start.startswith(_MAGIC):
        raise OmniError("it is no packed file")
    _, version, length, checksum = _START.unpack(start)
    if version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise OmniError(f"it is of version {version}; this program reads versions {known}")
    raw = file.read(min(length, size))
    if len(raw) != length or zlib.crc32(raw) != checksum:
        raise OmniError("its header is damaged")
    begin = _START.size + length
    try:
        header = _decode(json.loads(raw, object_pairs_hook=_members), version)
    except (ValueError, KeyError, TypeError, RecursionError) as e:  # OmniError is a ValueError
        raise OmniError(f"its header is impossible: {' '.join(str(e).split())[:200]}") from None
    if begin % ALIGNMENT or header.size != size - begin:
        raise OmniError(f"it has {size} bytes where its header tells of {begin + header.size}")
    return header, begin


def _place(section: Section) -> tuple[int, int]:
    return section.offset, section.checksum  # the size follows from what it holds


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise OmniError("two members of it have the same name")
    return members


def _decode(data: Any, version: int) -> Header:
    header = Header(_whole(data["size"]), _typed(data["meta"], dict))

    def section(place: Any, size: int) -> Section:
        offset, checksum = (_whole(number) for number in place)
        if offset % ALIGNMENT or offset + size > header.size:
            raise OmniError(f"a section of {size} bytes at {offset} of {header.size}")
        return Section(offset, size, checksum)

    for name, rows, cols, kind, rest, bands in data["layers"]:
        rows, cols = _whole(rows, 1), _whole(cols, 1, MAX_COLUMNS)
        layer = Layer(_typed(name, str), rows, cols, _one_of(kind, VALUE_TYPES))
        layer.rest = section(rest, layer.rest_size())
        for blocks, *place in bands:
            size = layer.band_size(_whole(blocks, 0, layer.groups * cols))
            layer.bands.append((blocks, section(place, size)))
        header.layers.append(layer)
    for name, kind, shape, place in data["tensors"]:
        shape = tuple(_whole(number) for number in shape)
        _whole(math.prod(max(1, number) for number in shape))  # strides are such products
        size = Entry.size(_one_of(kind, TENSOR_TYPES), shape)
        header.tensors.append(Entry(_typed(name, str), kind, shape, section(place, size)))
    names = [entry.name for entry in [*header.layers, *header.tensors]]
    if len(set(names)) != len(names):
        raise OmniError("two of its parts have the same name")
    for name, numbers in _typed(data["subnets"], dict).items():
        pairs = zip(_typed(numbers, list), header.layers, strict=True)
        least = 1 if version == 1 else 0
        header.subnets[name] = [_whole(number, least, len(layer.bands)) for number, layer in pairs]
    if not header.subnets:
        raise OmniError("it has no sub-network")
    if version > 1:
        _decode_own(header, data["own"])
    return header


def _decode_own(header: Header, data: Any) -> None:
    """Read which values are a sub-network's own, and see that each has all parts, and once."""
    parts = {part.name: part for part in [*header.layers, *header.tensors]}
    stands_for: dict[str, str] = {}
    for subnet, names in _typed(data, dict).items():
        if subnet not in header.subnets:
            raise OmniError(f"values of {subnet!r:.60}, which is no sub-network")
        for name, stored in _typed(names, dict).items():
            for one in (name, _typed(stored, str)):
                if one not in parts:
                    raise OmniError(f"values of {one!r:.60}, which is none of its parts")
            if parts[name].form != parts[stored].form:
                raise OmniError(f"{stored!r:.60} is of another form than {name!r:.60}")
            if stands_for.setdefault(stored, name) != name:
                raise OmniError(f"{stored!r:.60} stands for two parts")
        header.own[subnet] = names
    for name in stands_for.values():
        if name in stands_for:
            raise OmniError(f"{name!r:.60} stands for a part, and others for it")
    for subnet, numbers in header.subnets.items():
        own = header.own.get(subnet, {})
        for layer, number in zip(header.layers, numbers, strict=True):
            part = stands_for.get(layer.name, layer.name)
            if (number > 0) != (own.get(part, part) == layer.name):
                raise OmniError(f"{subnet!r:.60} uses {number} bands of {layer.name!r:.60}")


def _whole(value: Any, least: int = 0, most: int = 2**62) -> int:
    if type(value) is not int or not least <= value <= most:
        raise OmniError(f"{value!r:.60} is no whole number from {least} to {most}")
    return value


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise OmniError(f"{value!r:.60} is no {kind.__name__}")
    return value


def _one_of(value: Any, known: dict[str, int]) -> str:
    if _typed(value, str) not in known:
        raise OmniError(f"type {value!r:.60} is unknown")
    return value
