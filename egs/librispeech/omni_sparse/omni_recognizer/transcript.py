# SPDX-License-Identifier: Apache-2.0
"""What was said in a sound, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from omni_recognizer.words import Word


@dataclass(frozen=True)
class Segment:
    """An utterance.

    Args:
      words: One at least.
      ended_by: ``rule1``, ``rule2`` or ``rule3`` of :class:`~omni_recognizer.EndpointRules`, or
        ``end`` where the sound ends.
    """

    words: Sequence[Word]
    ended_by: str

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def start(self) -> float:
        """Seconds from the start of the sound, of its first word."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Seconds, of its last word."""
        return self.words[-1].end

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it; the keys are those of omni_emformer.transcribe's."""
        return {
            "text": self.text,
            "start": self.start,
            "end": self.end,
            "ended_by": self.ended_by,
            "words": [asdict(word) for word in self.words],
        }


@dataclass(frozen=True)
class Transcript:
    """What a model heard in a whole sound.

    Args:
      file: The sound's name; None where samples were given.
      level: What heard it, such as ``dense`` or ``0.70``.
      seconds: Of sound.
      segments: Its utterances.
    """

    file: str | None
    level: str
    seconds: float
    segments: list[Segment] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)

    @property
    def words(self) -> list[Word]:
        return [word for segment in self.segments for word in segment.words]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as ``json.dumps`` takes it."""
        return {
            "file": self.file,
            "level": self.level,
            "seconds": round(self.seconds, 3),
            "text": self.text,
            "segments": [segment.to_dict() for segment in self.segments],
        }
