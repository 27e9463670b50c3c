# SPDX-License-Identifier: Apache-2.0
"""Wav files that are still being written: their header says nothing of their length."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from emformer.errors import RecipeError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
#: Sizes from this one on are what writers put there that do not know it yet: sox 0x7FFFF000,
#: arecord 0x80000000, ffmpeg 0xFFFFFFFF; others write 0.
_UNKNOWN_SIZE = 0x7FFFF000


@dataclass(frozen=True)
class WavHeader:
    """What stands before the samples.

    Args:
      kind: 1 for whole numbers, 3 for floating point; others as the format's tag has them.
      channels, rate, bits: Of the samples.
      size: Bytes of samples; None where they go on to the end.
      raw: The header itself.
    """

    kind: int
    channels: int
    rate: int
    bits: int
    size: int | None
    raw: bytes

    @property
    def is_plain(self) -> bool:
        """Whether :func:`read_samples` knows its samples."""
        return (self.kind, self.bits) in _DECODERS

    def with_samples(self, data: bytes) -> bytes:
        """A whole file of this header and what follows it, of a length that is known."""
        if self.size is not None:
            return self.raw + data
        whole = struct.pack("<I", len(self.raw) - 8 + len(data))
        return self.raw[:4] + whole + self.raw[8:-4] + struct.pack("<I", len(data)) + data


def read_header(file: BinaryIO, what: str) -> WavHeader:
    """Read up to the first sample.

    Raises:
      RecipeError: It ends before, or is none; ``what`` is what errors call the file.
    """
    raw = bytearray()

    def take(number: int) -> bytes:
        data = file.read(number)
        raw.extend(data)
        if len(data) < number:
            raise RecipeError(f"{what}: a wav file that ends within its header")
        return data

    take(12)
    form = b""
    while True:
        name, size = struct.unpack("<4sI", take(8))
        if name == b"data":
            break
        body = take(size + size % 2)  # chunks begin at even places
        if name == b"fmt ":
            form = body
    if len(form) < 16:
        raise RecipeError(f"{what}: a wav file without a format")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if kind == _EXTENSIBLE and len(form) >= 26:
        (kind,) = struct.unpack("<H", form[24:26])
    if not channels or not rate:
        raise RecipeError(f"{what}: a wav file of {channels} channels at {rate} samples a second")
    (whole,) = struct.unpack("<I", raw[4:8])
    # Of no samples is a file that is as long as it says; else its writer did not know.
    empty = size == 0 and len(raw) <= whole + 8 < _UNKNOWN_SIZE
    known = empty or 0 < size < _UNKNOWN_SIZE
    return WavHeader(kind, channels, rate, bits, size if known else None, bytes(raw))


def read_samples(file: BinaryIO, header: WavHeader, block: int) -> Iterator[np.ndarray]:
    """Samples in [-1, 1] of shape ``(block, channels)``, fewer at the end, float32.

    An incomplete last sample is left out.
    """
    width = header.bits // 8 * header.channels
    left = header.size
    while True:
        number = width * block if left is None else min(width * block, left)
        data = file.read(number)
        if left is not None:
            left -= len(data)
        data = data[: len(data) - len(data) % width]
        if not data:
            return
        yield _DECODERS[header.kind, header.bits](data).reshape(-1, header.channels)


def _whole(dtype: str, scale: float, zero: int = 0):
    def decode(data: bytes) -> np.ndarray:
        return ((np.frombuffer(data, dtype).astype(np.float64) - zero) / scale).astype(np.float32)

    return decode


def _24_bits(data: bytes) -> np.ndarray:
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return _whole("<i4", 2.0**31)(wide.tobytes())


_DECODERS = {
    (_PCM, 8): _whole("u1", 128.0, 128),
    (_PCM, 16): _whole("<i2", 2.0**15),
    (_PCM, 24): _24_bits,
    (_PCM, 32): _whole("<i4", 2.0**31),
    (_FLOAT, 32): lambda data: np.frombuffer(data, "<f4").astype(np.float32),
    (_FLOAT, 64): lambda data: np.frombuffer(data, "<f8").astype(np.float32),
}
