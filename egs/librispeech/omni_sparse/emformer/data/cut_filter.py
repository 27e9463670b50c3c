# SPDX-License-Identifier: Apache-2.0
"""Which cuts are trained (validated, searched) on, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import sentencepiece as spm
from lhotse.cut import Cut

from emformer.config import FRAME_SHIFT_MS, Config
from emformer.data.tokenizer import spell


class CutFilter:
    """True for a cut that can be trained on.

    The reasons against: no text or several, a reserved symbol in it, a duration out of bounds, a
    character that the BPE model does not know, or more symbols than encoder frames (the transducer
    emits at most one a frame here; k2's losses are infinite otherwise). A cut's frames are computed
    from its duration, so features on the fly are filtered alike.
    """

    def __init__(self, config: Config, tokenizer: spm.SentencePieceProcessor) -> None:
        self._training = config.training
        self._chunk_ms = config.model.chunk_ms
        self._segment = config.model.segment
        self._tokenizer = tokenizer
        self.num_kept = 0
        self.seconds_kept = 0.0
        self.dropped: Counter[str] = Counter()

    def __call__(self, cut: Cut) -> bool:
        return self.reason_against(cut) is None

    def keep(self, cuts: Iterable[Cut]) -> Iterator[Cut]:
        """The cuts that are not left out, all counted for :meth:`report` and ``num_kept``."""
        for cut in cuts:
            reason = self.reason_against(cut)
            if reason is None:
                self.num_kept += 1
                self.seconds_kept += cut.duration
                yield cut
            else:
                self.dropped[reason] += 1

    def count(self, cuts: Iterable[Cut]) -> None:
        """Look at all cuts once, as :meth:`keep`."""
        for _ in self.keep(cuts):
            pass

    def reason_against(self, cut: Cut) -> str | None:
        """Why a cut is left out, or None."""
        texts = [s.text for s in cut.supervisions]
        if len(texts) != 1:
            return "not exactly one supervision"
        symbols, problem = spell(self._tokenizer, texts[0])
        if problem is not None:
            return problem
        if cut.duration < self._training.min_duration:
            return f"shorter than {self._training.min_duration} s"
        if cut.duration > self._training.max_cut_duration:
            return f"longer than {self._training.max_cut_duration} s"
        if len(symbols) > self._encoder_frames(cut.duration):
            return "more symbols than encoder frames"
        return None

    def _encoder_frames(self, seconds: float) -> int:
        frames = round(1000 * seconds / FRAME_SHIFT_MS)
        chunk_frames = self._chunk_ms // FRAME_SHIFT_MS
        return -(-frames // chunk_frames) * self._segment

    def report(self, doing: str = "training") -> str:
        """One line: what is kept, and what is not by reason."""
        total = self.num_kept + sum(self.dropped.values())
        line = f"{doing} on {self.num_kept} of {total} cuts, {self.seconds_kept / 3600:.2f} h"
        if self.dropped:
            line += f"; left out: {self.reasons()}"
        return line

    def reasons(self) -> str:
        """How many were left out why, to read."""
        return ", ".join(f"{n} {why}" for why, n in sorted(self.dropped.items()))
