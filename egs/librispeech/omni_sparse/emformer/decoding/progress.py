# SPDX-License-Identifier: Apache-2.0
"""Utterances done of how many, time left, and the time that decoding itself takes."""

import logging
import sys
import time

import torch
from tqdm import tqdm

from emformer.clock import clock

_LINES = 4  # of a log without a terminal, for each split


class Progress:
    """A bar on a terminal; elsewhere a line in the log for each quarter.

    Args:
        what: name of the work, such as the split.
        total: utterances.
    """

    def __init__(self, what: str, total: int):
        self.what, self.total, self.done = what, total, 0
        self._start = time.perf_counter()
        self._told = 0
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=what, unit="utt", leave=False)

    def add(self, utterances: int) -> None:
        """So many more utterances are done."""
        self.done += utterances
        if self._bar is not None:
            self._bar.update(utterances)
            return
        quarter = _LINES * self.done // max(1, self.total)
        if quarter > self._told:
            self._told = quarter
            left = (time.perf_counter() - self._start) * (self.total - self.done) / self.done
            eta = f", ETA {clock(left)}" if self.done < self.total else ""
            logging.info(f"{self.what}: {self.done}/{self.total} utterances{eta}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Stopwatch:
    """Sums wall time over `with` blocks; on a GPU up to the end of what they started there.

    Args:
        device: where the measured work runs.
    """

    def __init__(self, device: torch.device):
        self.seconds = 0.0
        self._device = device

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def __enter__(self) -> None:
        self._begin = self._now()

    def __exit__(self, *exception) -> None:
        self.seconds += self._now() - self._begin
