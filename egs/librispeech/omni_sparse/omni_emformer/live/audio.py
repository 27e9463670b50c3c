# SPDX-License-Identifier: Apache-2.0
"""Audio as it comes: files, standard input, microphone; 16 kHz, in blocks."""

from __future__ import annotations

import math
import sys
import wave
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile
import torch

from emformer.data.features import SAMPLE_RATE
from emformer.errors import RecipeError

STDIN, MICROPHONE = "-", "mic"
_BLOCK = 0.1  # seconds
_ZEROS = 32  # of the sinc on each side


def read_audio(name: str, rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Blocks of samples in [-1, 1] at 16 kHz, of shape ``(num_samples,)``, float32.

    Args:
      name: A file that soundfile reads; ``-`` for standard input, which is a wav file or plain
        16-bit little-endian PCM of one channel; ``mic``. Of several channels it is the mean.
      rate: Samples a second of plain PCM.

    Raises:
      RecipeError: It cannot be read.
    """
    if name == MICROPHONE:
        yield from _microphone()
        return
    if name == STDIN:
        blocks, rate = _stdin(sys.stdin.buffer, rate)
    else:
        blocks, rate = _file(name)
    if rate == SAMPLE_RATE:
        yield from blocks
        return
    resampler = Resampler(rate, SAMPLE_RATE)
    for block in blocks:
        yield resampler.accept(block)
    yield resampler.finish()


def _file(name: str) -> tuple[Iterator[np.ndarray], int]:
    try:
        file = soundfile.SoundFile(name)
    except (OSError, RuntimeError) as e:
        raise RecipeError(f"{name}: no audio that can be read ({e})") from e
    size = int(_BLOCK * file.samplerate)
    blocks = file.blocks(size, dtype="float32", always_2d=True)
    return (block.mean(1) for block in blocks), file.samplerate


def _stdin(file: BinaryIO, rate: int) -> tuple[Iterator[np.ndarray], int]:
    if not file.peek(4).startswith(b"RIFF"):
        return _pcm(lambda n: file.read(2 * n), 1, rate), rate
    try:
        header = wave.open(file)
    except (wave.Error, EOFError) as e:
        raise RecipeError(f"standard input: a wav file that cannot be read ({e})") from e
    if header.getsampwidth() != 2:
        raise RecipeError(f"standard input: {8 * header.getsampwidth()} bits a sample; use 16")
    rate = header.getframerate()
    return _pcm(header.readframes, header.getnchannels(), rate), rate


def _pcm(read, channels: int, rate: int) -> Iterator[np.ndarray]:
    """``read(n)`` gives the bytes of n samples of all channels, fewer at the end."""
    while data := read(int(_BLOCK * rate)):
        whole = len(data) - len(data) % (2 * channels)
        samples = np.frombuffer(data[:whole], dtype="<i2").reshape(-1, channels)
        yield (samples.mean(1) / 32768).astype(np.float32)


def _microphone() -> Iterator[np.ndarray]:
    try:
        import sounddevice
    except (ImportError, OSError) as e:
        raise RecipeError(
            f"no microphone: the package sounddevice cannot be used ({e}); install it and "
            "PortAudio, or pipe audio into standard input"
        ) from e
    with sounddevice.InputStream(SAMPLE_RATE, channels=1, dtype="float32") as stream:
        while True:
            yield stream.read(int(_BLOCK * SAMPLE_RATE))[0][:, 0]


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
