# SPDX-License-Identifier: Apache-2.0
"""Does simulated streaming tell the truth? Encoder outputs and texts of both modes compared."""

import json
import logging
import math
from collections import Counter
from pathlib import Path

import numpy as np
from torch import Tensor

MAX_ABS_DIFF = 1e-4
MIN_IDENTICAL = 0.99


class Consistency:
    """Differences between simulated and chunk-wise decoding, gathered over a split.

    They pass if no encoder output differs by more than 1e-4 and 99 % of the texts are the same:
    a chunk-wise result then stands for the simulated one, and the other way round.

    Args:
        methods: names of the searches whose texts are compared.
    """

    def __init__(self, methods: list[str]):
        self.num_utts = 0
        self.num_frames = 0
        self.max_abs_diff = 0.0
        self.identical = Counter({method: 0 for method in methods})

    def add_outputs(self, simulated: Tensor, chunk_wise: Tensor, lens: Tensor) -> None:
        """Compare encoder outputs of shape `(N, T, J)` up to the lengths `(N,)`."""
        for a, b, n in zip(simulated, chunk_wise, lens.tolist(), strict=True):
            self.num_utts += 1
            self.num_frames += n
            if n:
                # max() would pass over an output that is nan.
                largest = float((a[:n] - b[:n]).abs().max())
                self.max_abs_diff = float(np.maximum(self.max_abs_diff, largest))

    def add_texts(self, method: str, simulated: list, chunk_wise: list) -> None:
        """Compare the hypotheses of a group, utterance by utterance."""
        pairs = zip(simulated, chunk_wise, strict=True)
        self.identical[method] += sum(a == b for a, b in pairs)

    def summary(self) -> dict:
        """The numbers as plain types; `identical_texts` is a share by method.

        Where no frame was compared, the largest difference is nan, and that is no pass.
        """
        shares = {method: n / self.num_utts for method, n in self.identical.items()}
        largest = self.max_abs_diff if self.num_frames else math.nan
        return {
            "num_utts": self.num_utts,
            "num_encoder_frames": self.num_frames,
            "max_abs_diff": largest,
            "identical_texts": shares,
            "passed": largest <= MAX_ABS_DIFF and min(shares.values()) >= MIN_IDENTICAL,
        }

    def report(self, path: Path, **more) -> bool:
        """Write the summary (with `more` fields) as JSON, log it, and say whether it passed."""
        summary = {**more, **self.summary()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(summary, indent=2) + "\n")
        texts = ", ".join(f"{m} {n}/{self.num_utts}" for m, n in self.identical.items())
        logging.info(
            "simulated against chunk-wise: encoder outputs differ by "
            f"{summary['max_abs_diff']:.2e} at most over {self.num_frames} frames; "
            f"same texts: {texts}"
        )
        if not summary["passed"]:
            logging.error(
                f"the modes differ by more than allowed ({MAX_ABS_DIFF} and "
                f"{MIN_IDENTICAL:.0%} of texts), see {path}"
            )
        return summary["passed"]
