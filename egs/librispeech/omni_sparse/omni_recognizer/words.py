# SPDX-License-Identifier: Apache-2.0
"""Words and when they were said, from tokens and the frames that emitted them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Symbols that stand for no text, and what marks the start of a word: emformer/text.py's.
RESERVED = ("<blk>", "<sos/eos>", "<unk>")
WORD_START = "\u2581"


@dataclass
class Word:
    """A word of a transcript; times in seconds from the start of the sound.

    A token is emitted at an encoder frame, of ``frame_ms`` (four feature frames of 10 ms), and as
    in icefall and sherpa-onnx its time is where that frame begins. The frame itself sees more: its
    front end's window (``stack_window`` feature frames, or 29 of ``conv``) and the right context.
    Training does not tie a token to the sound. Of the demo's dense model (window 0.28 s) on 201
    words that espeak-ng spoke and timed, the start of a word was within -0.039 and 0.025 s of the
    truth (5 and 95 %; median -0.005), and its end 0.054 s early in the median.

    Args:
      text: As the tokens spell it.
      start: Of the frame of its first token.
      end: Where the frame of its last token ends.
      tokens: Its symbols.
      timestamps: Where the frame of each begins.
    """

    text: str
    start: float
    end: float
    tokens: list[str] = field(default_factory=list)
    timestamps: list[float] = field(default_factory=list)


def timed_words(
    tokens: Sequence[str], frames: Sequence[int], frame_ms: int, limit: float = math.inf
) -> list[Word]:
    """The words that tokens spell; the same as ``emformer.text.join_pieces`` gives.

    Args:
      tokens: Symbols of an utterance; reserved ones are left out.
      frames: The encoder frame of each, counted from the start of the sound.
      frame_ms: Milliseconds of an encoder frame.
      limit: Seconds of sound: in the silence that is added after its end no word is said.

    >>> [word] = timed_words(["\u2581SE", "VEN"], [10, 12], 40)
    >>> word.text, word.start, word.end, word.timestamps
    ('SEVEN', 0.4, 0.52, [0.4, 0.48])
    """
    words: list[Word] = []
    for token, frame in zip(tokens, frames, strict=True):
        if token in RESERVED:
            continue
        time = min(frame * frame_ms / 1000, limit)
        end = min((frame + 1) * frame_ms / 1000, limit)
        # Whatever follows a mark within the token begins a word, as the token itself may.
        for number, part in enumerate(re.split(r"\s", token.replace(WORD_START, " "))):
            if not number and not part:
                continue
            if number or not words:
                words.append(Word("", time, end))
            word = words[-1]
            word.text, word.end = word.text + part, end
            word.tokens.append(token)
            word.timestamps.append(time)
    return [word for word in words if word.text]
