# SPDX-License-Identifier: Apache-2.0
"""Recognition by the C library omni_runtime: from samples to words all is computed in C.

What omni_emformer.live.transcriber does with a packed file in Python; it hears the same.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from emformer.data.features import SAMPLE_RATE
from emformer.errors import RecipeError
from omni_emformer.live.endpoint import END, EndpointRules
from omni_emformer.live.transcript import Segment
from omni_emformer.live.words import timed_words
from omni_emformer.runtime.c_library import LIBRARY, CLibrary, Rules

_RULES = EndpointRules()


class Recognizer:
    """A packed file, open as long as this or a stream of it is there. Threads may share it.

    Args:
      path: Of the file.
      library: Of libomni_runtime.so.

    Attributes:
      subnets: Names of its sub-networks.
      tokens: Its symbols, by id.
      frame_ms: Milliseconds of an encoder frame.

    Raises:
      RecipeError: The file is damaged or no such file, or there is no such library.
    """

    def __init__(self, path: Path, library: Path = LIBRARY) -> None:
        self.library = CLibrary(library)
        self.handle = self.library.call("omni_model_open", os.fsencode(path))
        weakref.finalize(self, self.library.c.omni_model_close, self.handle)
        self.subnets = [self._ask("level_name", i).decode() for i in range(self._ask("num_levels"))]
        self.tokens = [self._ask("token", i).decode() for i in range(self._ask("num_tokens"))]
        self.frame_ms = round(1000 * self._ask("frame_seconds"))

    def _ask(self, name: str, *arguments: Any) -> Any:
        return getattr(self.library.c, f"omni_model_{name}")(self.handle, *arguments)

    def level(self, subnet: float | str) -> int:
        """The number of a sub-network, given its name or sparsity.

        Raises:
          RecipeError: There is none.
        """
        found = self._ask("find_level", str(subnet).encode())
        if found < 0:
            raise RecipeError(f"no sub-network is called {subnet}; known: {' '.join(self.subnets)}")
        return found

    def stream(
        self,
        subnet: float | str | None = None,
        beam_size: int = 1,
        rules: EndpointRules | None = _RULES,
    ) -> RecognizerStream:
        """Sound that is coming.

        Args:
          subnet: Name or sparsity of the sub-network; None for the file's first.
          beam_size: Hypotheses of modified beam search; 1 is greedy search.
          rules: When an utterance ends; None for only at the sound's end.

        Raises:
          RecipeError: There is no such sub-network; a number is impossible.
        """
        level = 0 if subnet is None else self.level(subnet)
        opened = self.library.call("omni_stream_open_beam", self.handle, level, beam_size)
        stream = RecognizerStream(self, opened)
        given = None if rules is None else ctypes.byref(Rules(*astuple(rules)))
        self.library.call("omni_stream_set_rules", opened, given)
        return stream

    def restore(self, state: bytes) -> RecognizerStream:
        """A stream that goes on where :meth:`RecognizerStream.save` was called.

        Raises:
          RecipeError: These bytes are no stream of this file.
        """
        opened = self.library.call("omni_stream_restore", self.handle, state, len(state))
        return RecognizerStream(self, opened)

    def recognize(self, samples: np.ndarray, **options: Any) -> list[Segment]:
        """The utterances of a whole sound; options are those of :meth:`stream`."""
        stream = self.stream(**options)
        return stream.accept(samples) + stream.finish()


class RecognizerStream:
    """A stream of a :class:`Recognizer`, which makes it. One thread at a time may use it.

    After an error it must be :meth:`reset`.
    """

    def __init__(self, recognizer: Recognizer, handle: int) -> None:
        self._recognizer, self._handle = recognizer, handle
        weakref.finalize(self, recognizer.library.c.omni_stream_close, handle)

    def accept(self, samples: np.ndarray) -> list[Segment]:
        """Take samples at 16 kHz in [-1, 1], of shape ``(num_samples,)``.

        Returns:
          The utterances that ended.

        Raises:
          RecipeError: The stream has ended; the samples are of another shape, or no numbers.
        """
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        if samples.ndim != 1:
            raise RecipeError(f"samples of shape {samples.shape}; it must be (num_samples,)")
        self._call("accept", samples.ctypes.data, len(samples))
        return self._ended()

    def finish(self) -> list[Segment]:
        """The sound has ended: the last utterances, as :meth:`accept` returns them."""
        self._call("finish")
        limit = self._ask("num_samples") / SAMPLE_RATE
        return self._ended(limit) + self._segment(END, limit)

    @property
    def text(self) -> str:
        """What the utterance that goes on says so far."""
        return self._ask("text").decode()

    def use(self, subnet: float | str) -> None:
        """Another sub-network from the next chunk on."""
        self._call("set_level", self._recognizer.level(subnet))

    def save(self) -> bytes:
        """All that the stream remembers, for :meth:`Recognizer.restore` in any process."""
        state = ctypes.create_string_buffer(self._ask("state_size"))
        self._call("save", state, len(state))
        return state.raw

    def reset(self) -> None:
        """Begin another stream."""
        self._ask("reset")

    def _ask(self, name: str) -> Any:
        return getattr(self._recognizer.library.c, f"omni_stream_{name}")(self._handle)

    def _call(self, name: str, *arguments: Any) -> None:
        self._recognizer.library.call(f"omni_stream_{name}", self._handle, *arguments)

    def _ended(self, limit: float = float("inf")) -> list[Segment]:
        found = []
        while rule := self._ask("endpoint"):
            found += self._segment(f"rule{rule}", limit)
            self._call("next_utterance")
        return found

    def _segment(self, ended_by: str, limit: float) -> list[Segment]:
        """The utterance, if it has words; none of these is after so many seconds."""
        one, number = self._recognizer, self._ask("num_tokens")
        tokens = [one.tokens[token] for token in self._ask("tokens")[:number]]
        words = timed_words(tokens, self._ask("frames")[:number], one.frame_ms, limit)
        return [Segment(words, ended_by)] if words else []
