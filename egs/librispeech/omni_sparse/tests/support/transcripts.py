# SPDX-License-Identifier: Apache-2.0
"""Made-up transcripts."""

from __future__ import annotations

from omni_emformer.live.transcript import Heard
from omni_recognizer.transcript import Segment
from omni_recognizer.words import Word

HEARD = Heard("m.packed", "0.90", 1000, 300, 0.9, "packed", "int8", 5000, 2000)


def segment(text: str, start: float, end: float, ended_by: str = "rule2") -> Segment:
    """An utterance whose words follow each other in even steps."""
    words, step = text.split(), (end - start) / len(text.split())
    times = [round(start + number * step, 3) for number in range(len(words))] + [end]
    return Segment(
        [Word(w, a, b, [w], [a]) for w, a, b in zip(words, times, times[1:], strict=False)],
        ended_by,
    )
