# SPDX-License-Identifier: Apache-2.0
"""Speech from libespeak-ng, called through ctypes.

The library comes with the package ``espeakng-loader`` (no root needed) or from the system (Debian's
``espeak-ng``). It keeps global state, so a process holds one :class:`Espeak`; make more processes
for more speed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emformer.errors import RecipeError

# Values of enums in espeak-ng's public header speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_PARAM_RATE, _PARAM_PITCH, _PARAM_RANGE = 1, 3, 4
_POS_CHARACTER = 1
_CHARS_UTF8 = 1

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Voice:
    """How an utterance is spoken.

    Args:
      name: espeak-ng voice and variant, e.g. ``"en-us+f2"``.
      rate: Words a minute (espeak-ng's normal is 175).
      pitch: 0 to 99 (normal 50).
      pitch_range: 0 (monotone) to 99 (normal 50).
    """

    name: str
    rate: int = 175
    pitch: int = 50
    pitch_range: int = 50


class Espeak:
    """One process's libespeak-ng.

    Raises:
      RecipeError: No library or no voice data is found.
    """

    def __init__(self) -> None:
        library, data_path = _find_library()
        self._lib = ctypes.CDLL(library)
        self.sampling_rate = self._lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, 0)
        if self.sampling_rate <= 0:
            raise RecipeError(f"{library}: espeak-ng does not start (voice data: {data_path})")
        self._variants = self._find_variants()
        self._blocks: list[np.ndarray] = []
        # The object is kept, since the library holds only a bare pointer to it.
        self._callback = _CALLBACK(self._collect)
        self._lib.espeak_SetSynthCallback(self._callback)

    def _find_variants(self) -> set[str]:
        data_path = ctypes.c_char_p()
        self._lib.espeak_Info(ctypes.byref(data_path))
        return {path.name for path in Path(data_path.value.decode(), "voices", "!v").iterdir()}

    def _collect(self, samples, count, _events) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    def seed(self, seed: int) -> None:
        """Seed the library's own random numbers (breath and whisper noise, jitter)."""
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(seed))

    def say(self, text: str, voice: Voice) -> np.ndarray:
        """Speak ``text``.

        Returns:
          Samples in [-1, 1], float32, of shape ``(num_samples,)`` at :attr:`sampling_rate` Hz.

        Raises:
          RecipeError: The voice is unknown or nothing was said.
        """
        # The library takes an unknown variant for none at all and says nothing.
        variant = voice.name.partition("+")[2]
        unknown = variant and variant not in self._variants
        if unknown or self._lib.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise RecipeError(f"espeak-ng has no voice {voice.name!r}")
        for parameter, value in (
            (_PARAM_RATE, voice.rate),
            (_PARAM_PITCH, voice.pitch),
            (_PARAM_RANGE, voice.pitch_range),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode() + b"\0"
        self._blocks = []
        self._lib.espeak_Synth(
            encoded, ctypes.c_size_t(len(encoded)), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
        )
        if not self._blocks:
            raise RecipeError(f"espeak-ng said nothing for {text!r} with voice {voice.name!r}")
        return np.concatenate(self._blocks).astype(np.float32) / 32768.0


def _find_library() -> tuple[str, bytes | None]:
    try:
        import espeakng_loader
    except ImportError:
        library = ctypes.util.find_library("espeak-ng")
        if library is None:
            raise RecipeError(
                "libespeak-ng is not found; mend it by: pip install espeakng-loader "
                "(or apt-get install espeak-ng)"
            ) from None
        return library, None
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path().encode()
