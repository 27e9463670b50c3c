# SPDX-License-Identifier: Apache-2.0
"""Samples of sound files: the C library reads wav, the package soundfile all else."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from omni_recognizer.errors import RecognizerError
from omni_recognizer.library import CLibrary, Error

#: Samples a second of all sound; ``OMNI_SAMPLE_RATE`` of the C library.
SAMPLE_RATE = 16000
STDIN = "-"
_BLOCK = SAMPLE_RATE // 10
_HEAD = 12  # bytes by which a wav file is known


def as_samples(given: ArrayLike) -> np.ndarray:
    """Samples as the C library takes them: float32, one after the other.

    Raises:
      RecognizerError: They are of several channels, or of whole numbers, whose range is unknown.
    """
    samples = np.asarray(given)
    if samples.ndim != 1:
        raise RecognizerError(
            f"samples of shape {samples.shape}; it must be (num_samples,), of one channel"
        )
    if samples.dtype.kind != "f":
        raise RecognizerError(
            f"samples of type {samples.dtype}; floats in [-1, 1] are meant (16-bit PCM / 32768)"
        )
    return np.ascontiguousarray(samples, dtype=np.float32)


def read_sound(library: CLibrary, name: str) -> Iterator[np.ndarray]:
    """Blocks of a sound file's samples, the mean over its channels, of shape ``(num_samples,)``.

    Args:
      library: Reads wav.
      name: A file at 16 kHz; ``-`` for standard input: a wav file or 16-bit little-endian PCM of
        one channel.

    Raises:
      RecognizerError: It cannot be read, or has another sampling rate.
    """
    if name == STDIN or _is_wav(name):
        yield from _by_library(library, name)
    else:
        yield from _by_soundfile(name)


def _is_wav(name: str) -> bool:
    try:
        with open(name, "rb") as file:
            head = file.read(_HEAD)
    except OSError as e:
        raise RecognizerError(f"{name}: {e.strerror}") from e
    return head[:4] == b"RIFF" and head[8:] == b"WAVE"


def _by_library(library: CLibrary, name: str) -> Iterator[np.ndarray]:
    error, handle = Error(), None
    try:
        handle = library.call("omni_sound_open", os.fsencode(name))
        while True:
            block = np.empty(_BLOCK, np.float32)
            given = block.ctypes.data, len(block), ctypes.addressof(error)
            number = library.c.omni_sound_read(handle, *given)
            if number < 0:
                raise RecognizerError(error.text.decode(errors="replace"))
            if not number:
                return
            yield block[:number]
    except RecognizerError as e:
        raise RecognizerError(f"{name}: {e}") from e
    finally:
        library.c.omni_sound_close(handle)


def _by_soundfile(name: str) -> Iterator[np.ndarray]:
    try:
        import soundfile  # an extra: wav needs none
    except (ImportError, OSError) as e:  # OSError: the package is there, its library is not
        raise RecognizerError(
            f"{name}: it is no wav file, and other kinds need a package: pip install soundfile"
        ) from e
    try:
        with soundfile.SoundFile(name) as file:
            rate = file.samplerate
            if rate != SAMPLE_RATE:
                raise RecognizerError(
                    f"{name}: {rate} samples a second; resample it to {SAMPLE_RATE}"
                )
            for block in file.blocks(_BLOCK, dtype="float32", always_2d=True):
                yield block.mean(1)
    except (OSError, RuntimeError) as e:
        why = getattr(e, "error_string", str(e)).strip()
        raise RecognizerError(f"{name}: no sound that can be read ({why})") from e
