# SPDX-License-Identifier: Apache-2.0
"""The C library omni_runtime as ctypes sees it; ``omni_runtime.h`` says what its functions do."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

from omni_recognizer.compiling import NAME, CompilerError, compiled_library
from omni_recognizer.endpoint import EndpointRules
from omni_recognizer.errors import RecognizerError

#: Where ``make`` in the recipe's omni_runtime/ puts it.
MADE = Path(__file__).parents[1] / "omni_runtime" / "build" / NAME


def find_library() -> Path:
    """The library: beside this file, else of the recipe's sources, else of the installed package.

    The last two are for who works in the recipe's folder, where Python finds this folder before
    the package that pip has installed. The sources are compiled once for each state of them.

    Raises:
      RecognizerError: There is none.
    """
    beside = Path(__file__).with_name(NAME)
    if beside.exists():
        return beside
    why = "its sources are not here"
    try:
        compiled = compiled_library()
        if compiled is not None:
            return compiled
    except (CompilerError, OSError) as e:
        why = str(e)
    found = [MADE]
    try:
        installed = metadata.distribution("omni_recognizer")
        found.append(Path(str(installed.locate_file(f"omni_recognizer/{NAME}"))))
    except metadata.PackageNotFoundError:
        pass
    for path in found:
        if path.exists():
            return path
    raise RecognizerError(f"there is no {NAME}, and it cannot be compiled: {why}")


@functools.cache
def open_library() -> CLibrary:
    """The one that :func:`find_library` finds, open once a process."""
    return CLibrary(find_library())


class Error(ctypes.Structure):
    """``omni_error``."""

    _fields_ = [("text", ctypes.c_char * 400)]


class Chunk(ctypes.Structure):
    """``omni_chunk``."""

    _fields_ = [
        ("features", ctypes.POINTER(ctypes.c_float)),
        ("num_features", ctypes.c_int),
        ("feature_dim", ctypes.c_int),
        ("encoder", ctypes.POINTER(ctypes.c_float)),
        ("num_frames", ctypes.c_int),
        ("encoder_dim", ctypes.c_int),
    ]


class Word(ctypes.Structure):
    """``omni_word``."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("begin", "end")),
        *((name, ctypes.c_int64) for name in ("first_frame", "last_frame")),
    ]


class Rules(ctypes.Structure):
    """``omni_endpoint_rules``."""

    _fields_ = [(field.name, ctypes.c_double) for field in fields(EndpointRules)]


WATCHER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(Chunk))
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_FUNCTIONS = {
    "omni_model_open": (_POINTER, [ctypes.c_char_p, _POINTER]),
    "omni_model_close": (None, [_POINTER]),
    "omni_model_num_levels": (ctypes.c_int, [_POINTER]),
    "omni_model_level_name": (ctypes.c_char_p, [_POINTER, ctypes.c_int]),
    "omni_model_level_sparsity": (ctypes.c_double, [_POINTER, ctypes.c_int]),
    "omni_model_level_blocks": (ctypes.c_int64, [_POINTER, ctypes.c_int]),
    "omni_model_level_bytes": (ctypes.c_int64, [_POINTER, ctypes.c_int]),
    "omni_model_find_level": (ctypes.c_int, [_POINTER, ctypes.c_char_p]),
    "omni_model_num_tokens": (ctypes.c_int, [_POINTER]),
    "omni_model_token": (ctypes.c_char_p, [_POINTER, ctypes.c_int]),
    "omni_model_frame_seconds": (ctypes.c_double, [_POINTER]),
    "omni_model_chunk_samples": (ctypes.c_int, [_POINTER]),
    "omni_model_lookahead_samples": (ctypes.c_int, [_POINTER]),
    "omni_instructions": (ctypes.c_char_p, []),
    "omni_stream_open": (_POINTER, [_POINTER, ctypes.c_int, _POINTER]),
    "omni_stream_open_beam": (_POINTER, [_POINTER, ctypes.c_int, ctypes.c_int, _POINTER]),
    "omni_stream_close": (None, [_POINTER]),
    "omni_stream_reset": (None, [_POINTER]),
    "omni_stream_set_level": (ctypes.c_bool, [_POINTER, ctypes.c_int, _POINTER]),
    "omni_stream_level": (ctypes.c_int, [_POINTER]),
    "omni_stream_accept": (ctypes.c_bool, [_POINTER, _POINTER, _SIZE, _POINTER]),
    "omni_stream_finish": (ctypes.c_bool, [_POINTER, _POINTER]),
    "omni_stream_num_samples": (ctypes.c_int64, [_POINTER]),
    "omni_stream_num_tokens": (_SIZE, [_POINTER]),
    "omni_stream_tokens": (ctypes.POINTER(ctypes.c_int32), [_POINTER]),
    "omni_stream_frames": (ctypes.POINTER(ctypes.c_int64), [_POINTER]),
    "omni_stream_text": (ctypes.c_char_p, [_POINTER]),
    "omni_stream_num_words": (_SIZE, [_POINTER]),
    "omni_stream_words": (ctypes.POINTER(Word), [_POINTER]),
    "omni_stream_set_rules": (ctypes.c_bool, [_POINTER, ctypes.POINTER(Rules), _POINTER]),
    "omni_stream_endpoint": (ctypes.c_int, [_POINTER]),
    "omni_stream_next_utterance": (ctypes.c_bool, [_POINTER, _POINTER]),
    "omni_stream_state_size": (_SIZE, [_POINTER]),
    "omni_stream_save": (ctypes.c_bool, [_POINTER, _POINTER, _SIZE, _POINTER]),
    "omni_stream_restore": (_POINTER, [_POINTER, _POINTER, _SIZE, _POINTER]),
    "omni_sound_open": (_POINTER, [ctypes.c_char_p, _POINTER]),
    "omni_sound_read": (ctypes.c_int64, [_POINTER, _POINTER, _SIZE, _POINTER]),
    "omni_sound_close": (None, [_POINTER]),
    "omni_stream_watch": (None, [_POINTER, WATCHER, _POINTER]),
}


class CLibrary:
    """The library's functions, as attributes of ``c``.

    Args:
      path: Of libomni_runtime.so.

    Raises:
      RecognizerError: There is no such library, or it is an older one.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.c = ctypes.CDLL(str(path))
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(self.c, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as e:
            raise RecognizerError(f"{e}; build the library anew by make in omni_runtime") from e

    def call(self, name: str, *arguments: Any) -> Any:
        """The result of a function that may fail, given its arguments without the last one.

        Raises:
          RecognizerError: It failed.
        """
        error = Error()
        result = getattr(self.c, name)(*arguments, ctypes.addressof(error))
        if not result:
            raise RecognizerError(error.text.decode(errors="replace"))
        return result
