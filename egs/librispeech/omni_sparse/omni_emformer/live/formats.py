# SPDX-License-Identifier: Apache-2.0
"""Transcripts as text, JSON and SubRip subtitles.

The JSON object of a sound:

  file              its name, as it was given
  seconds           of sound
  text              all that was said
  segments          a list of utterances:
    text, start, end  seconds from the start of the sound, of its first and its last word
    ended_by          rule1, rule2, rule3 (see --help), or end: that of the sound
    words             a list:
      text, start, end  where the frame of the first token starts, and that of the last one ends
      tokens            the word's symbols
      timestamps        seconds, where the frame that emitted each token starts
  model             what heard it:
    name              path of the packed file, or of the experiment
    subnet            which of its sub-networks
    num_params        parameters, those that are zero included
    num_nonzero       parameters in use: not zero before int8 rounds them
    sparsity          share of zeros over all matrices of the encoder
    runtime, values   what it ran in, and the type of its weights
    file_bytes        of the packed file; null if it is none
    subnet_bytes      what the sub-network reads of it
  real_time_factor  processor time of one thread for a second of sound; null of no sound
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

from omni_emformer.live.transcript import Transcript

_WIDTH = 42  # characters a line, as broadcasters have it
_SHOWN = 1.0  # seconds that a subtitle stays at least, if the next one leaves room


def to_text(transcript: Transcript) -> str:
    """A line an utterance."""
    return "".join(segment.text + "\n" for segment in transcript.segments)


def to_object(transcript: Transcript) -> dict:
    """What :func:`to_json` writes, as the module's docstring says."""
    return {
        "file": transcript.file,
        "seconds": round(transcript.seconds, 3),
        "text": transcript.text,
        "segments": [segment.to_dict() for segment in transcript.segments],
        "model": asdict(transcript.heard),
        "real_time_factor": transcript.real_time_factor,
    }


def to_json(transcript: Transcript) -> str:
    """One line."""
    return json.dumps(to_object(transcript), ensure_ascii=False) + "\n"


def to_srt(transcript: Transcript) -> str:
    """A subtitle an utterance, in lines of 42 characters at most where words allow it."""
    segments, cues = transcript.segments, []
    for number, segment in enumerate(segments, 1):
        end = max(segment.end, segment.start + _SHOWN)
        if number < len(segments):
            end = max(segment.end, min(end, segments[number].start))
        times = f"{_clock(segment.start)} --> {_clock(end)}"
        lines = textwrap.wrap(segment.text, _WIDTH, break_long_words=False, break_on_hyphens=False)
        cues.append("\n".join([str(number), times, *lines, ""]))
    return "\n".join(cues)


def _clock(seconds: float) -> str:
    """SubRip's form.

    >>> _clock(3725.5)
    '01:02:05,500'
    """
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{milliseconds:03}"


class Format(NamedTuple):
    """How transcripts are written: the end of their files' names, and the function."""

    suffix: str
    write: Callable[[Transcript], str]


FORMATS = {
    "text": Format(".txt", to_text),
    "json": Format(".json", to_json),
    "srt": Format(".srt", to_srt),
}
