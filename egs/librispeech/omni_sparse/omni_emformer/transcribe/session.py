# SPDX-License-Identifier: Apache-2.0
"""One sound after the other, through the same sub-networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from omni_emformer.live.audio import MICROPHONE, STDIN, read_audio
from omni_emformer.live.transcriber import Stream, Transcriber
from omni_emformer.live.transcript import Heard, Transcript
from omni_emformer.transcribe.printing import Growing, Results, say
from omni_recognizer.transcript import Segment

#: What has no end, or not yet.
LIVE = STDIN, MICROPHONE


class Session:
    """Transcribes sounds.

    Args:
      transcribers: Of models with the same chunks.
      heard: What transcripts tell of each.
      results: Takes what was said.

    Attributes:
      seconds: Of sound, in all.
      spent: Processor time of each sub-network, in all.
    """

    def __init__(
        self, transcribers: Sequence[Transcriber], heard: Sequence[Heard], results: Results
    ) -> None:
        self._transcribers, self._heard, self._results = transcribers, heard, results
        self.seconds, self.spent = 0.0, [0.0] * len(transcribers)

    def hear(self, name: str, rate: int, partial: bool | None = None) -> None:
        """Transcribe a sound; Ctrl-C ends one that is live, and goes on up to the caller else.

        Args:
          name, rate: As :func:`~omni_emformer.live.audio.read_audio` has them.
          partial: Whether to show what is still being said; None for only of what is live.

        Raises:
          RecipeError: It cannot be read, or its transcript cannot be written.
        """
        stream = Stream(self._transcribers)
        transcripts = [Transcript(name, heard) for heard in self._heard]
        shown = name in LIVE if partial is None else partial
        growing = Growing([heard.subnet for heard in self._heard]) if shown else None
        try:
            for samples in read_audio(name, rate):
                self._take(transcripts, stream.accept(samples), growing)
                if growing is not None:
                    growing.show(stream.seconds, [one.text for one in self._transcribers])
        except KeyboardInterrupt:
            if name not in LIVE:
                raise
        finally:
            if growing is not None:
                growing.clear()
        self._take(transcripts, stream.finish(), growing)
        self.seconds += stream.seconds
        for number, transcript in enumerate(transcripts):
            transcript.seconds = stream.seconds
            transcript.spent = stream.spent(self._transcribers[number])
            self.spent[number] += transcript.spent
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
                f"{heard.subnet}: {self.seconds:.2f} s of sound, {torch.get_num_threads()} thread, "
                f"real-time factor {'-' if factor is None else f'{factor:.4f}'}"
            )
