# SPDX-License-Identifier: Apache-2.0
"""Audio as it comes: files, standard input, microphone; 16 kHz, in blocks."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import soundfile
import torch

from emformer.data.features import SAMPLE_RATE
from emformer.errors import RecipeError
from omni_emformer.live.containers import (
    HEAD,
    frames_kind,
    is_read_whole,
    may_be_frames,
    refused_kind,
)
from omni_emformer.live.microphone import microphone_blocks
from omni_emformer.live.wav import WavHeader, read_header, read_samples

STDIN, MICROPHONE = "-", "mic"
_BLOCK = 0.1  # seconds
_ZEROS = 32  # of the sinc on each side
_FRAMES = 4096  # bytes in which MPEG audio has two frames
_RATES = 1000, 768000  # samples a second that are meant


def read_audio(name: str, rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Blocks of samples in [-1, 1] at 16 kHz, of shape ``(num_samples,)``, float32.

    Wav files come block by block, to their end where the header does not know their length. Other
    kinds that soundfile reads are read first and then decoded block by block. Of several channels
    it is the mean.

    Args:
      name: A file; ``-`` for standard input, which may also be plain 16-bit little-endian PCM of
        one channel, without a header; ``mic``.
      rate: Samples a second of plain PCM.

    Raises:
      RecipeError: It cannot be read.
    """
    if name == MICROPHONE:
        blocks, rate = microphone_blocks(_BLOCK)
        yield from _at_16_khz(blocks, rate, "microphone")
        return
    if name == STDIN:
        blocks, rate = _open(sys.stdin.buffer, "standard input", rate)
        yield from _at_16_khz(blocks, rate, "standard input")
        return
    try:
        file = open(name, "rb")  # noqa: SIM115 - closed below
    except OSError as e:
        raise RecipeError(f"{name}: no audio that can be read ({e.strerror})") from e
    with file:
        blocks, rate = _open(file, name, None)
        yield from _at_16_khz(blocks, rate, name)


def _at_16_khz(blocks: Iterator[np.ndarray], rate: int, what: str) -> Iterator[np.ndarray]:
    resampler = None if rate == SAMPLE_RATE else Resampler(rate, SAMPLE_RATE)
    for block in blocks:
        if not np.isfinite(block).all():
            raise RecipeError(f"{what}: samples that are not finite numbers")
        yield block if resampler is None else resampler.accept(block)
    if resampler is not None:
        yield resampler.finish()


class _Rest:
    """A file of which some bytes were read ahead."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def read(self, number: int = -1) -> bytes:
        if number < 0:
            head, self._head = self._head, b""
            return head + self._file.read()
        head, self._head = self._head[:number], self._head[number:]
        return head if len(head) == number else head + self._file.read(number - len(head))


def _open(file: BinaryIO, what: str, pcm_rate: int | None) -> tuple[Iterator[np.ndarray], int]:
    """Blocks of the mean over channels, and samples a second.

    Args:
      file: To be read from where it is.
      what: What errors call it.
      pcm_rate: Of plain PCM; None where a file must say what it is.
    """
    head = file.read(HEAD)
    if not head:
        return iter(()), SAMPLE_RATE
    frames = ""
    if may_be_frames(head):
        head += file.read(_FRAMES)
        frames = frames_kind(head)
    rest = _Rest(head, file)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        header = read_header(rest, what)
        if not header.is_plain:
            return _whole_file(header.with_samples(rest.read()), what)
        _check_rate(header.rate, what)
        blocks = read_samples(rest, header, int(_BLOCK * header.rate))
        return (block.mean(1) for block in blocks), header.rate
    whole = is_read_whole(head) or frames == "mp3"
    kind = "AAC" if frames == "aac" else refused_kind(head[:HEAD])
    if kind and not whole:
        raise RecipeError(f"{what}: {kind}, which is not read; convert it to wav or FLAC")
    if whole or pcm_rate is None:
        return _whole_file(rest.read(), what)
    _check_rate(pcm_rate, what)
    blocks = read_samples(rest, WavHeader(1, 1, pcm_rate, 16, None, b""), int(_BLOCK * pcm_rate))
    return (block[:, 0] for block in blocks), pcm_rate


def _check_rate(rate: int, what: str) -> None:
    if not _RATES[0] <= rate <= _RATES[1]:
        low, high = _RATES
        raise RecipeError(f"{what}: {rate} samples a second; {low:,} to {high:,} are read")


def _whole_file(data: bytes, what: str) -> tuple[Iterator[np.ndarray], int]:
    with _said_of(what):
        file = soundfile.SoundFile(io.BytesIO(data))
    _check_rate(file.samplerate, what)
    return _decoded(file, what), file.samplerate


def _decoded(file: soundfile.SoundFile, what: str) -> Iterator[np.ndarray]:
    """Hours of sound take megabytes as they are stored, but gigabytes as samples."""
    with file:
        while True:
            with _said_of(what):
                samples = file.read(int(_BLOCK * file.samplerate), "float32", always_2d=True)
            if not len(samples):
                return
            yield samples.mean(1)


@contextmanager
def _said_of(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as e:
        why = getattr(e, "error_string", str(e))
        raise RecipeError(f"{what}: no audio that can be read ({why.strip()})") from e


class Resampler:
    """Another sampling rate for a stream, by a sinc under a Hann window.

    See J. O. Smith, "Digital audio resampling", https://ccrma.stanford.edu/~jos/resample/.

    Args:
      old, new: Samples a second.
    """

    def __init__(self, old: int, new: int) -> None:
        common = math.gcd(old, new)
        self._old, self._new = old // common, new // common
        cutoff = 0.99 * min(1.0, new / old)  # as a share of the old Nyquist frequency
        self._width = math.ceil(_ZEROS / cutoff)  # old samples on each side
        # Old samples from the first of a period on, seen from each of its new samples.
        places = np.arange(-self._width, self._width + self._old)
        at = np.arange(self._new)[:, None] * self._old / self._new - places[None]
        window = np.cos(np.pi / 2 * np.clip(at * cutoff / _ZEROS, -1, 1)) ** 2
        self._kernel = torch.from_numpy(cutoff * np.sinc(cutoff * at) * window).float()
        self._kept = torch.zeros(self._width)
        self._owed = 0.0  # new samples for what came in, less what went out

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """New samples, as far as all that they depend on is there; float32."""
        self._owed += len(samples) * self._new / self._old
        out = self._run(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)))
        self._owed -= len(out)
        return out

    def finish(self) -> np.ndarray:
        """The last samples, with silence after the end."""
        out = self._run(torch.zeros(self._width + 2 * self._old))
        return out[: max(0, math.ceil(self._owed - 1e-6))]

    def _run(self, samples: torch.Tensor) -> np.ndarray:
        x = torch.cat([self._kept, samples])
        periods = (len(x) - 2 * self._width) // self._old
        if periods <= 0:
            self._kept = x
            return np.zeros(0, dtype=np.float32)
        self._kept = x[periods * self._old :]
        windows = x.unfold(0, self._kernel.size(1), self._old)[:periods]
        return (windows @ self._kernel.T).flatten().numpy()
