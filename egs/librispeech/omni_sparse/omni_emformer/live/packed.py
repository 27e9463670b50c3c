# SPDX-License-Identifier: Apache-2.0
"""A packed file's sub-network at a stream of sound: all is computed by the C library."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from emformer.errors import RecipeError
from omni_recognizer.endpoint import EndpointRules
from omni_recognizer.errors import RecognizerError
from omni_recognizer.model import Model
from omni_recognizer.transcript import Segment

#: Hypotheses of each of the recipe's searches that the library has.
BEAM_SIZES = {"greedy_search": 1, "modified_beam_search": 4}


class PackedStream:
    """What :class:`~omni_emformer.live.transcriber.Stream` is, in C.

    Args:
      model: The packed file.
      subnet: Name of its sub-network.
      method: Of search, one of :data:`BEAM_SIZES`.
      rules: When an utterance ends; None for only at the stream's end.

    Attributes:
      seconds: Of sound so far.
      spent: Seconds of processor time of this thread.
    """

    def __init__(
        self,
        model: Model,
        subnet: str,
        method: str = "greedy_search",
        rules: EndpointRules | None = None,
    ) -> None:
        self._stream = model.stream(subnet, BEAM_SIZES[method], rules)
        self.spent = 0.0

    @property
    def seconds(self) -> float:
        return self._stream.seconds

    @property
    def text(self) -> str:
        """What the utterance that goes on says so far."""
        return self._stream.text

    def accept(self, samples: np.ndarray) -> list[Segment]:
        """Take samples at 16 kHz of shape ``(num_samples,)``.

        Returns:
          The utterances that ended.

        Raises:
          RecipeError: A sample is not finite.
        """
        return self._timed(lambda: self._stream.accept(samples))

    def finish(self) -> list[Segment]:
        """Run the last chunks; returns the last utterances as :meth:`accept` does."""
        return self._timed(self._stream.finish)

    def _timed(self, call: Callable[[], list[Segment]]) -> list[Segment]:
        start = time.thread_time()
        try:
            return call()
        except RecognizerError as e:
            raise RecipeError(str(e)) from e
        finally:
            self.spent += time.thread_time() - start
