# SPDX-License-Identifier: Apache-2.0
"""What was said in a sound, and what heard it."""

from __future__ import annotations

from dataclasses import dataclass, field

from omni_recognizer.transcript import Segment

_TIMED = 0.1  # seconds of sound from which on a factor says something


@dataclass(frozen=True)
class Heard:
    """What heard a sound.

    Args:
      name: Where it lies: a packed file or an experiment's folder.
      subnet: Which of its sub-networks, such as ``dense`` or ``0.90``.
      num_params: Parameters of the network, its zeros included.
      num_nonzero: Those in use: not zero before int8 rounds them.
      sparsity: Share of zeros over all matrices of the encoder.
      runtime, values: What it runs in, and the type of its weights.
      file_bytes: Of the packed file; None if it is none.
      subnet_bytes: What the sub-network reads of it; less where others lie beside it.
    """

    name: str
    subnet: str
    num_params: int
    num_nonzero: int
    sparsity: float
    runtime: str
    values: str
    file_bytes: int | None = None
    subnet_bytes: int | None = None

    def __str__(self) -> str:
        told = (
            f"{self.name}: {self.subnet}, {self.num_nonzero:,} of {self.num_params:,} parameters "
            f"in use ({100 * self.sparsity:.1f} % of the encoder's weights are zero), {self.values}"
        )
        if self.file_bytes is None:
            return told
        return f"{told}, {self.subnet_bytes:,} of the packed file's {self.file_bytes:,} bytes"


@dataclass
class Transcript:
    """What a sub-network heard in a sound.

    Args:
      file: The sound's name.
      heard: By what.
      segments: Its utterances.
      seconds: Of sound.
      spent: Seconds of processor time.
    """

    file: str
    heard: Heard
    segments: list[Segment] = field(default_factory=list)
    seconds: float = 0.0
    spent: float = 0.0

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)

    @property
    def real_time_factor(self) -> float | None:
        """Processor time of one thread for a second of sound; None where there is hardly any."""
        return round(self.spent / self.seconds, 4) if self.seconds >= _TIMED else None
