# SPDX-License-Identifier: Apache-2.0
"""A sub-network at a stream of sound without end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from emformer.data.features import SAMPLE_RATE
from emformer.decoding.model import DecodingInfo
from emformer.decoding.search import make_search
from omni_emformer.live.endpoint import SILENCES, ended_by
from omni_emformer.live.features import LiveFeatures, silence_after
from omni_recognizer.endpoint import END, EndpointRules
from omni_recognizer.transcript import Segment
from omni_recognizer.words import timed_words


class Transcriber:
    """Turns feature frames into utterances.

    Of an utterance that has ended nothing is kept: the search starts anew, and after a silence the
    encoder, too, as at the start of a file (sherpa-onnx's ``reset_encoder``); where rule 3 cut, it
    goes on with its left context. So time and memory of a chunk do not depend on how long the
    stream is; those of the longest utterance are bounded by rule 3.

    F: feature dimension; T: feature frames of 10 ms.

    Args:
      model: What streaming decoding asks of a transducer.
      info: Of the model.
      method: Of search.
      rules: When an utterance ends; None for only at the stream's end.

    Attributes:
      seconds: Processor time of this thread, in all.
      limit: Seconds of sound, once they are known: words that are heard in the silence after it
        are put at its end.
    """

    @torch.no_grad()
    def __init__(
        self,
        model,
        info: DecodingInfo,
        method: str = "greedy_search",
        rules: EndpointRules | None = None,
    ) -> None:
        self.model, self.info, self._rules = model, info, rules
        self._search = make_search(method, model)
        # The first call of a runtime prepares what all later ones need.
        window = torch.zeros(1, model.window_frames, info.config.model.feature_dim)
        out, _ = model.encode_chunk(window, None)
        self._search.start(1)
        self._search.accept(out, torch.tensor([out.size(1)]))
        self.start()

    def start(self) -> None:
        """Begin another stream."""
        self.seconds, self.limit, self._states = 0.0, math.inf, None
        self._frames = torch.zeros(0, self.info.config.model.feature_dim)
        self._begin = 0  # encoder frames before the utterance
        self._search.start(1)

    @torch.no_grad()
    def accept(self, frames: Tensor) -> list[Segment]:
        """Take new frames of shape ``(T, F)``, and run the chunks that they complete.

        Returns:
          The utterances that ended.
        """
        start = time.thread_time()
        self._frames = torch.cat([self._frames, frames])
        found = [segment for window in self._windows() for segment in self._chunk(window)]
        self.seconds += time.thread_time() - start
        return found

    def finish(self) -> list[Segment]:
        """The utterance that the stream's end cut off, if there is one; call :meth:`start` next."""
        return self._end(END)

    @property
    def text(self) -> str:
        """What the utterance that goes on says so far."""
        return " ".join(self.info.words(self._search.hypotheses()[0]))

    def _windows(self) -> Iterator[Tensor]:
        while len(self._frames) >= self.model.window_frames:
            yield self._frames[None, : self.model.window_frames]
            self._frames = self._frames[self.model.chunk_frames :]

    def _chunk(self, window: Tensor) -> list[Segment]:
        out, self._states = self.model.encode_chunk(window, self._states)
        self._search.accept(out, torch.tensor([out.size(1)]))
        if self._rules is None:
            return []
        (length,), (last,) = self._search.frames, self._search.last_frames()
        frame_ms = self.info.config.model.frame_ms
        silence = length - 1 - last
        times = length * frame_ms / 1000, silence * frame_ms / 1000
        by = ended_by(self._rules, *times, is_spoken=last >= 0)
        if by is None:
            return []
        if by in SILENCES:
            self._states = None
        return self._end(by)

    def _end(self, by: str) -> list[Segment]:
        (ids,), (frames,) = self._search.hypotheses(), self._search.timestamps()
        words = timed_words(
            [self.info.tokens[i] for i in ids],
            [self._begin + frame for frame in frames],
            self.info.config.model.frame_ms,
            self.limit,
        )
        self._begin += self._search.frames[0]
        self._search.start(1)
        return [Segment(words, by)] if words else []


class Stream:
    """One stream of sound to a transcriber.

    Args:
      transcriber: Which begins anew.

    Attributes:
      seconds: Of sound so far.
      spent: Seconds of processor time of this thread.
    """

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        self._features, self._samples, self._spent = LiveFeatures(), 0, 0.0
        transcriber.start()

    @property
    def seconds(self) -> float:
        return self._samples / SAMPLE_RATE

    @property
    def spent(self) -> float:
        return self._spent + self._transcriber.seconds

    @property
    def text(self) -> str:
        """What the utterance that goes on says so far."""
        return self._transcriber.text

    def accept(self, samples: np.ndarray) -> list[Segment]:
        """Take samples at 16 kHz of shape ``(num_samples,)``.

        Returns:
          The utterances that ended.
        """
        self._samples += len(samples)
        return self._run(samples)

    def finish(self) -> list[Segment]:
        """Run the last chunks; returns the last utterances as :meth:`accept` does."""
        if not self._samples:
            return []
        self._transcriber.limit = self.seconds
        silence = silence_after(self._samples, self._transcriber.info.config.model)
        return self._run(silence) + self._transcriber.finish()

    def _run(self, samples: np.ndarray) -> list[Segment]:
        start = time.thread_time()
        frames = self._features.accept(samples)
        self._spent += time.thread_time() - start
        return self._transcriber.accept(frames)
