# SPDX-License-Identifier: Apache-2.0
"""One sound after the other, through the same sub-networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from omni_emformer.live.audio import MICROPHONE, STDIN, read_audio
from omni_emformer.live.packed import PackedStream
from omni_emformer.live.transcriber import Stream
from omni_emformer.live.transcript import Heard, Transcript
from omni_emformer.transcribe.printing import Growing, Results, say
from omni_recognizer.transcript import Segment

#: What has no end, or not yet.
LIVE = STDIN, MICROPHONE
StreamMaker = Callable[[], Stream | PackedStream]


class Session:
    """Transcribes sounds.

    Args:
      starts: Begin a stream of each sub-network.
      heard: What transcripts tell of each.
      results: Takes what was said.

    Attributes:
      seconds: Of sound, in all.
      spent: Processor time of each sub-network, in all.
    """

    def __init__(
        self, starts: Sequence[StreamMaker], heard: Sequence[Heard], results: Results
    ) -> None:
        self._starts, self._heard, self._results = starts, heard, results
        self.seconds, self.spent = 0.0, [0.0] * len(starts)

    def hear(self, name: str, rate: int, partial: bool | None = None) -> None:
        """Transcribe a sound; Ctrl-C ends one that is live, and goes on up to the caller else.

        Args:
          name, rate: As :func:`~omni_emformer.live.audio.read_audio` has them.
          partial: Whether to show what is still being said; None for only of what is live.

        Raises:
          RecipeError: It cannot be read, or its transcript cannot be written.
        """
        streams = [start() for start in self._starts]
        transcripts = [Transcript(name, heard) for heard in self._heard]
        shown = name in LIVE if partial is None else partial
        growing = Growing([heard.subnet for heard in self._heard]) if shown else None
        try:
            for samples in read_audio(name, rate):
                self._take(transcripts, [one.accept(samples) for one in streams], growing)
                if growing is not None:
                    growing.show(streams[0].seconds, [one.text for one in streams])
        except KeyboardInterrupt:
            if name not in LIVE:
                raise
        finally:
            if growing is not None:
                growing.clear()
        self._take(transcripts, [one.finish() for one in streams], growing)
        self.seconds += streams[0].seconds
        for number, (transcript, stream) in enumerate(zip(transcripts, streams, strict=True)):
            transcript.seconds, transcript.spent = stream.seconds, stream.spent
            self.spent[number] += stream.spent
            self._results.finish(transcript)

    def _take(
        self,
        transcripts: Sequence[Transcript],
        ended: Sequence[Sequence[Segment]],
        growing: Growing | None,
    ) -> None:
        """Note and print the utterances that ended."""
        for transcript, segments in zip(transcripts, ended, strict=True):
            for segment in segments:
                transcript.segments.append(segment)
                if growing is not None:
                    growing.clear()
                self._results.add(transcript, segment)

    def report(self) -> None:
        """Say how long it took."""
        for heard, spent in zip(self._heard, self.spent, strict=True):
            total = Transcript("", heard, seconds=self.seconds, spent=spent)
            factor = total.real_time_factor
            say(
                f"{heard.subnet}: {self.seconds:.2f} s of sound, 1 thread, "
                f"real-time factor {'-' if factor is None else f'{factor:.4f}'}"
            )
