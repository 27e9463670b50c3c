# SPDX-License-Identifier: Apache-2.0
"""The C library omni_runtime: how tests build it, and call it."""

from __future__ import annotations

import ctypes
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from omni_recognizer import library as c_library
from omni_recognizer.endpoint import EndpointRules
from omni_recognizer.errors import RecognizerError
from tests.support.processes import RECIPE
from tests.support.runtime.layers import COMPILER

SOURCES = RECIPE / "omni_runtime"


def make(folder: Path, *goals: str, compiler: Sequence[str] = COMPILER, **variables: str) -> Path:
    """Build into a folder, which is returned; skips where there is no such compiler or no make."""
    for program in (compiler[0], "make"):
        if shutil.which(program) is None:
            pytest.skip(f"NO {program}: the C library is not tested with it")
    given = {"CC": shlex.join(compiler), "BUILD": str(folder), **variables}
    words = [*goals, *(f"{name}={value}" for name, value in given.items())]
    command = ["make", "-f", SOURCES / "Makefile", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr
    return folder


#: What the library says.
Refused = RecognizerError


class CLibrary(c_library.CLibrary):
    """libomni_runtime.so; ``call`` calls a function that may fail."""

    def open(self, path: Path) -> CModel:
        return CModel(self, path)


class CModel:
    """A packed file that is open until the object is deleted."""

    def __init__(self, library: CLibrary, path: Path) -> None:
        self.library, self.handle = library, None
        self.handle = library.call("omni_model_open", str(path).encode())

    def __del__(self) -> None:
        self.library.c.omni_model_close(self.handle)

    def ask(self, name: str, *arguments):
        return getattr(self.library.c, f"omni_model_{name}")(self.handle, *arguments)

    @property
    def levels(self) -> list[str]:
        return [self.ask("level_name", i).decode() for i in range(self.ask("num_levels"))]

    def stream(self, level: str, beam_size: int = 1) -> CStream:
        number = self.ask("find_level", level.encode())
        opened = self.library.call("omni_stream_open_beam", self.handle, number, beam_size)
        return CStream(self, opened)

    def restore(self, state: bytes) -> CStream:
        opened = self.library.call("omni_stream_restore", self.handle, state, len(state))
        return CStream(self, opened)


class Heard(NamedTuple):
    """What a stream gave: text, tokens and their frames."""

    text: str
    tokens: list[int]
    frames: list[int]


class Utterance(NamedTuple):
    """Words with the frames of their first and last symbols, and the rule that ended them; 0 is the
    sound's end."""

    words: list[tuple[str, int, int]]
    rule: int


class CStream:
    """A stream; ``features`` and ``encoder`` are those of its chunks so far."""

    def __init__(self, model: CModel, handle: int) -> None:
        self.model, self.library, self.handle = model, model.library, handle
        self.features: list[np.ndarray] = []
        self.encoder: list[np.ndarray] = []
        self._watcher = c_library.WATCHER(self._watch)
        self.library.c.omni_stream_watch(self.handle, self._watcher, None)

    def __del__(self) -> None:
        self.library.c.omni_stream_close(self.handle)

    def _watch(self, _, pointer) -> None:
        chunk = pointer.contents
        shape = (chunk.num_features, chunk.feature_dim)
        self.features.append(np.ctypeslib.as_array(chunk.features, shape).copy())
        shape = (chunk.num_frames, chunk.encoder_dim)
        self.encoder.append(np.ctypeslib.as_array(chunk.encoder, shape).copy())

    def accept(self, samples: np.ndarray) -> None:
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        self.library.call("omni_stream_accept", self.handle, samples.ctypes.data, len(samples))

    def finish(self) -> Heard:
        self.library.call("omni_stream_finish", self.handle)
        return self.heard

    def run(self, samples: np.ndarray) -> Heard:
        """A whole sound."""
        self.accept(samples)
        return self.finish()

    def set_level(self, level: str) -> None:
        number = self.model.ask("find_level", level.encode())
        self.library.call("omni_stream_set_level", self.handle, number)

    def reset(self) -> None:
        self.features, self.encoder = [], []
        self.library.c.omni_stream_reset(self.handle)

    @property
    def heard(self) -> Heard:
        c, number = self.library.c, self.library.c.omni_stream_num_tokens(self.handle)
        tokens, frames = c.omni_stream_tokens(self.handle), c.omni_stream_frames(self.handle)
        text = c.omni_stream_text(self.handle).decode()
        return Heard(text, tokens[:number], frames[:number])

    def set_rules(self, rules: EndpointRules | None) -> None:
        given = None if rules is None else ctypes.byref(c_library.Rules(*astuple(rules)))
        self.library.call("omni_stream_set_rules", self.handle, given)

    @property
    def endpoint(self) -> int:
        return self.library.c.omni_stream_endpoint(self.handle)

    def next_utterance(self) -> None:
        self.library.call("omni_stream_next_utterance", self.handle)

    def ended(self) -> list[Utterance]:
        """The utterances that ended by rules, those without words, too."""
        found = []
        while self.endpoint:
            found.append(self.utterance)
            self.next_utterance()
        return found

    @property
    def utterance(self) -> Utterance:
        """What is there of it."""
        c, number = self.library.c, self.library.c.omni_stream_num_words(self.handle)
        text, words = c.omni_stream_text(self.handle), c.omni_stream_words(self.handle)
        spelled = [
            (text[w.begin : w.end].decode(), w.first_frame, w.last_frame) for w in words[:number]
        ]
        assert " ".join(word for word, _, _ in spelled) == text.decode()
        return Utterance(spelled, self.endpoint)

    def utterances(self, samples: np.ndarray, size: int) -> list[Utterance]:
        """Those of a whole sound that have words, given in pieces of a size."""
        found = []
        for begin in range(0, len(samples), size):
            self.accept(samples[begin : begin + size])
            found += self.ended()
        self.finish()
        found += [*self.ended(), self.utterance]
        return [one for one in found if one.words]

    @property
    def state(self) -> bytes:
        size = self.library.c.omni_stream_state_size(self.handle)
        memory = ctypes.create_string_buffer(size)
        self.library.call("omni_stream_save", self.handle, memory, size)
        return memory.raw
