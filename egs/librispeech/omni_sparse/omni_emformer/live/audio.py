# SPDX-License-Identifier: Apache-2.0
"""Audio as it comes: files, standard input, microphone; 16 kHz, in blocks."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator

import numpy as np
import soundfile
import torch

from emformer.data.features import SAMPLE_RATE
from emformer.errors import RecipeError
from omni_emformer.live.wav import WavHeader, read_header, read_samples

STDIN, MICROPHONE = "-", "mic"
_BLOCK = 0.1  # seconds
_ZEROS = 32  # of the sinc on each side


# Beginnings of files that soundfile reads as a whole, and of others, which it does not.
_CONTAINERS = (b"fLaC", b"OggS", b"ID3", b"RF64", b"RIFX", b"FORM", b"caff", b".snd", b"riff")
_OTHERS = {b"\x1aE\xdf\xa3": "WebM or Matroska", b"#!AMR": "AMR", b"0&\xb2u": "WMA"}


def read_audio(name: str, rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Blocks of samples in [-1, 1] at 16 kHz, of shape ``(num_samples,)``, float32.

    Wav files come block by block, to their end where the header does not know their length. What
    other kinds soundfile reads are read whole first. Of several channels it is the mean.

    Args:
      name: A file; ``-`` for standard input, which may also be plain 16-bit little-endian PCM of
        one channel, without a header; ``mic``.
      rate: Samples a second of plain PCM.

    Raises:
      RecipeError: It cannot be read.
    """
    if name == MICROPHONE:
        yield from _microphone()
        return
    if name == STDIN:
        blocks, rate = _open(sys.stdin.buffer, "standard input", rate)
        yield from _at_16_khz(blocks, rate)
        return
    try:
        file = open(name, "rb")  # noqa: SIM115 - closed below
    except OSError as e:
        raise RecipeError(f"{name}: no audio that can be read ({e.strerror})") from e
    with file:
        blocks, rate = _open(file, name, None)
        yield from _at_16_khz(blocks, rate)


def _at_16_khz(blocks: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    if rate == SAMPLE_RATE:
        yield from blocks
        return
    resampler = Resampler(rate, SAMPLE_RATE)
    for block in blocks:
        yield resampler.accept(block)
    yield resampler.finish()


def _open(
    file: io.BufferedReader, what: str, pcm_rate: int | None
) -> tuple[Iterator[np.ndarray], int]:
    """Blocks of the mean over channels, and samples a second.

    Args:
      file: To be read from where it is.
      what: What errors call it.
      pcm_rate: Of plain PCM; None where a file must say what it is.
    """
    head = file.peek(12)[:12]
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b""):
        header = read_header(file, what)
        if not header.is_plain:
            return _whole_file(header.raw + file.read(), what)
        blocks = read_samples(file, header, max(1, int(_BLOCK * header.rate)))
        return (block.mean(1) for block in blocks), header.rate
    for begin, kind in _OTHERS.items():
        if head.startswith(begin):
            raise RecipeError(f"{what}: {kind}, which is not read; convert it to wav or FLAC")
    if head[4:8] == b"ftyp":
        raise RecipeError(f"{what}: MP4, which is not read; convert it to wav or FLAC")
    if pcm_rate is None or head.startswith(_CONTAINERS) or _is_mp3(file):
        return _whole_file(file.read(), what)
    header = WavHeader(1, 1, pcm_rate, 16, None, b"")
    blocks = read_samples(file, header, max(1, int(_BLOCK * pcm_rate)))
    return (block[:, 0] for block in blocks), pcm_rate


def _is_mp3(file: io.BufferedReader) -> bool:
    """Without tags in front, which PCM could begin like."""
    head = file.peek()
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    try:
        return soundfile.info(io.BytesIO(head)).format in ("MP3", "MPEG")
    except (OSError, RuntimeError):
        return False


def _whole_file(data: bytes, what: str) -> tuple[Iterator[np.ndarray], int]:
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except (OSError, RuntimeError) as e:
        raise RecipeError(f"{what}: no audio that can be read ({e})") from e
    blocks = file.blocks(int(_BLOCK * file.samplerate), dtype="float32", always_2d=True)
    return (block.mean(1) for block in blocks), file.samplerate


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
