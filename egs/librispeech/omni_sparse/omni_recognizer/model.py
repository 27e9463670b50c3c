# SPDX-License-Identifier: Apache-2.0
"""Packed files and streams of sound: from samples to words all is computed by the C library."""

from __future__ import annotations

import ctypes
import math
import os
import weakref
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omni_recognizer.endpoint import END, EndpointRules
from omni_recognizer.errors import RecognizerError
from omni_recognizer.library import CLibrary, Rules, open_library
from omni_recognizer.sound import SAMPLE_RATE, as_samples, read_sound
from omni_recognizer.transcript import Segment, Transcript
from omni_recognizer.words import Word, timed_words

_SUFFIX = ".packed"
_RULES = EndpointRules()


def load(path: str | os.PathLike, library: CLibrary | None = None) -> Model:
    """Open a packed file.

    Args:
      path: Of the file, or of a folder with one ``*.packed`` in it.
      library: By default the one that was installed with the package.

    Raises:
      RecognizerError: There is no such file, or several; it is damaged, or of another version.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.glob(f"*{_SUFFIX}"))
        if len(found) != 1:
            names = " and ".join(one.name for one in found[:2])
            raise RecognizerError(
                f"{path} has {names}; name one of them" if found else f"{path}: no *{_SUFFIX} in it"
            )
        path = found[0]
    return Model(path, library or open_library())


class Model:
    """A packed file, open as long as this or a stream of it is there. Threads may share it.

    Args:
      path: Of the file.
      library: That runs it.

    Attributes:
      path: Of the file.
      library: That runs it.
      levels: Its sub-networks, in the order of the file: names such as ``dense`` or ``0.70``, and
        shares of zeros among the weights of the encoder's layers, which are below what a name says
        where some of these are never pruned.
      chunk_seconds: Text comes in steps of so much sound.
      lookahead_seconds: So much more must be there before a chunk is run.

    Raises:
      RecognizerError: The file is damaged or no such file.
    """

    def __init__(self, path: Path, library: CLibrary) -> None:
        self.path, self.library = path, library
        self._handle = library.call("omni_model_open", os.fsencode(path))
        weakref.finalize(self, library.c.omni_model_close, self._handle)
        numbers = range(self._ask("num_levels"))
        self._names = [self._ask("level_name", i).decode() for i in numbers]
        self.levels: dict[str, float] = {
            name: self._ask("level_sparsity", i) for i, name in enumerate(self._names)
        }
        self.chunk_seconds: float = self._ask("chunk_samples") / SAMPLE_RATE
        self.lookahead_seconds: float = self._ask("lookahead_samples") / SAMPLE_RATE
        numbers = range(self._ask("num_tokens"))
        self._tokens = [self._ask("token", i).decode() for i in numbers]
        self._frame_ms = round(1000 * self._ask("frame_seconds"))

    def __repr__(self) -> str:
        return f"<omni_recognizer.Model {str(self.path)!r}: {' '.join(self.levels)}>"

    @property
    def instructions(self) -> str:
        """The instruction set that is used, such as ``vnni``; ``plain`` is any machine's."""
        return self.library.c.omni_instructions().decode()

    def transcribe(
        self,
        sound: str | os.PathLike | ArrayLike,
        sparsity: float | str | None = None,
        beam_size: int = 1,
        rules: EndpointRules | None = _RULES,
    ) -> Transcript:
        """What is said in a whole sound.

        Args:
          sound: A file at 16 kHz, of which several channels are averaged: wav, and with the package
            soundfile what that reads. ``-`` is standard input, a wav file or 16-bit PCM. Or
            samples, as :meth:`Stream.accept` takes them.
          sparsity, beam_size, rules: As :meth:`stream` has them.

        Raises:
          RecognizerError: The sound cannot be read, or is of another sampling rate; as
            :meth:`stream`.
        """
        stream = self.stream(sparsity, beam_size, rules)
        name = os.fspath(sound) if isinstance(sound, str | os.PathLike) else None
        blocks = [sound] if name is None else read_sound(self.library, name)
        segments = [segment for block in blocks for segment in stream.accept(block)]
        segments += stream.finish()
        return Transcript(name, stream.level, stream.seconds, segments)

    def stream(
        self,
        sparsity: float | str | None = None,
        beam_size: int = 1,
        rules: EndpointRules | None = _RULES,
    ) -> Stream:
        """Sound that is coming.

        Args:
          sparsity: The level, by its share of zeros to two decimals as its name has it, or by its
            name; None for the file's first, which is the largest if the recipe has packed it.
          beam_size: Hypotheses of modified beam search, up to 64; 1 is greedy search.
          rules: When an utterance ends; None for only at the sound's end.

        Raises:
          RecognizerError: There is no such level; a number is impossible.
        """
        level = 0 if sparsity is None else self._level(sparsity)
        opened = self.library.call("omni_stream_open_beam", self._handle, level, beam_size)
        stream = Stream(self, opened)
        given = None if rules is None else ctypes.byref(Rules(*astuple(rules)))
        self.library.call("omni_stream_set_rules", opened, given)
        return stream

    def restore(self, state: bytes) -> Stream:
        """A stream that goes on where :meth:`Stream.save` was called, in any process.

        Raises:
          RecognizerError: These bytes are no stream of this file.
        """
        return Stream(
            self, self.library.call("omni_stream_restore", self._handle, state, len(state))
        )

    def _ask(self, name: str, *arguments: Any) -> Any:
        return getattr(self.library.c, f"omni_model_{name}")(self._handle, *arguments)

    def _level(self, sparsity: float | str) -> int:
        found = self._ask("find_level", str(sparsity).encode())
        if found < 0:
            known = " ".join(self.levels)
            raise RecognizerError(f"{self.path}: no level is called {sparsity}; known: {known}")
        return found


class Stream:
    """A stream of a :class:`Model`, which makes it. One thread at a time may use it.

    After an error of :meth:`accept` or :meth:`finish` it must be :meth:`reset`.
    """

    def __init__(self, model: Model, handle: int) -> None:
        self._model, self._handle, self._c = model, handle, model.library.c
        weakref.finalize(self, self._c.omni_stream_close, handle)

    def accept(self, samples: ArrayLike) -> list[Segment]:
        """Take samples at 16 kHz in [-1, 1], of shape ``(num_samples,)``, any number of them.

        Returns:
          The utterances that ended; those without words are left out.

        Raises:
          RecognizerError: The stream has ended; the samples are of another shape or type, or not
            finite.
        """
        given: np.ndarray = as_samples(samples)
        self._call("accept", given.ctypes.data, len(given))
        return self._ended()

    def finish(self) -> list[Segment]:
        """The sound has ended: the last utterances, as :meth:`accept` returns them."""
        self._call("finish")
        limit = self.seconds
        last = self._ended(limit) + self._segment(END, limit)
        # Of no sound at all, what was heard is the silence that finish adds.
        return last if limit else []

    @property
    def text(self) -> str:
        """What the utterance that goes on says so far; of a beam, what it says now."""
        return self._ask("text").decode()

    @property
    def words(self) -> list[Word]:
        """The words of :attr:`text`."""
        return self._words()

    @property
    def level(self) -> str:
        """The level that the next chunk is run at, by its name."""
        return self._model._names[self._ask("level")]

    @property
    def seconds(self) -> float:
        """Of sound that was given."""
        return self._ask("num_samples") / SAMPLE_RATE

    def switch(self, sparsity: float | str) -> None:
        """Another level from the next chunk on; what was heard stays.

        Raises:
          RecognizerError: There is no such level.
        """
        self._call("set_level", self._model._level(sparsity))

    def save(self) -> bytes:
        """All that the stream remembers, for :meth:`Model.restore`."""
        state = ctypes.create_string_buffer(self._ask("state_size"))
        self._call("save", state, len(state))
        return state.raw

    def reset(self) -> None:
        """Begin another stream, at the level and by the rules of this one."""
        self._ask("reset")

    def _ask(self, name: str) -> Any:
        return getattr(self._c, f"omni_stream_{name}")(self._handle)

    def _call(self, name: str, *arguments: Any) -> None:
        self._model.library.call(f"omni_stream_{name}", self._handle, *arguments)

    def _ended(self, limit: float = math.inf) -> list[Segment]:
        found = []
        while rule := self._ask("endpoint"):
            found += self._segment(f"rule{rule}", limit)
            self._call("next_utterance")
        return found

    def _segment(self, ended_by: str, limit: float) -> list[Segment]:
        """The utterance, if it has words."""
        words = self._words(limit)
        return [Segment(words, ended_by)] if words else []

    def _words(self, limit: float = math.inf) -> list[Word]:
        """Those of the utterance; none is after so many seconds, in the silence of the end."""
        number, model = self._ask("num_tokens"), self._model
        tokens = [model._tokens[i] for i in self._ask("tokens")[:number]]
        return timed_words(tokens, self._ask("frames")[:number], model._frame_ms, limit)
