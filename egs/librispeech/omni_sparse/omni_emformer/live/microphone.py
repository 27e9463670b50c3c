# SPDX-License-Identifier: Apache-2.0
"""Sound from a microphone, by the package sounddevice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import ModuleType

import numpy as np

from emformer.data.features import SAMPLE_RATE
from emformer.errors import RecipeError

_INSTEAD = "or pipe sound into standard input (FILE -)"


def sounddevice_or_say() -> ModuleType:
    """The package.

    Raises:
      RecipeError: It is not installed, or its library PortAudio is not, or there is no microphone;
        says what to install.
    """
    try:
        import sounddevice
    except ImportError as e:
        raise RecipeError(
            f"no microphone: the package sounddevice is not installed; pip install sounddevice, "
            f"{_INSTEAD}"
        ) from e
    except OSError as e:
        raise RecipeError(
            f"no microphone: the library PortAudio is not installed ({e}); install it, such as by "
            f"apt-get install libportaudio2, {_INSTEAD}"
        ) from e
    try:
        sounddevice.query_devices(kind="input")
    except (sounddevice.PortAudioError, ValueError) as e:
        raise RecipeError(f"no microphone: {e}; connect one, {_INSTEAD}") from e
    return sounddevice


def microphone_blocks(seconds: float) -> tuple[Iterator[np.ndarray], int]:
    """Blocks of the default microphone's samples in [-1, 1] without end, and samples a second.

    16 kHz where the device can, else its own rate.

    Args:
      seconds: Of a block.

    Raises:
      RecipeError: See :func:`sounddevice_or_say`; or it cannot be opened.
    """
    sounddevice, rate = sounddevice_or_say(), SAMPLE_RATE
    try:
        sounddevice.check_input_settings(channels=1, dtype="float32", samplerate=rate)
    except sounddevice.PortAudioError:
        rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
    return _blocks(sounddevice, rate, int(seconds * rate)), rate


def _blocks(sounddevice: ModuleType, rate: int, size: int) -> Iterator[np.ndarray]:
    try:
        with sounddevice.InputStream(rate, channels=1, dtype="float32") as stream:
            while True:
                samples, lost = stream.read(size)
                if lost:
                    logging.warning("microphone: sound was lost, since this computer is too slow")
                yield samples[:, 0]
    except sounddevice.PortAudioError as e:
        raise RecipeError(f"microphone: {e}") from e
