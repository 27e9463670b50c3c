# SPDX-License-Identifier: Apache-2.0
"""Where a training's figures go: metrics.jsonl, tensorboard, and a tracker if there is one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from emformer.experiment.metrics_log import append_record, drop_after
from emformer.experiment.trackers import Tracker


class MetricsWriter:
    """Writes the figures of a run, or of the rest of one; a context, which closes what is open.

    Args:
      exp_dir: The experiment's folder.
      update: Of the checkpoint that is gone on from, else 0. What an interrupted run wrote after
        it is hidden in tensorboard and dropped from metrics.jsonl; a tracker keeps it.
      tracker: Gets the same figures under the same names.
    """

    def __init__(self, exp_dir: Path, update: int, tracker: Tracker | None = None) -> None:
        self._log = exp_dir / "metrics.jsonl"
        self._board = SummaryWriter(exp_dir / "tensorboard", purge_step=update or None)
        self._tracker = tracker
        drop_after(self._log, update)

    def write(self, group: str, update: int, seconds: float, values: Mapping[str, float]) -> None:
        """Add figures.

        Args:
          group: Of what: ``train`` or ``valid``.
          update: After how many updates.
          seconds: And after how much time of training.
          values: The figures by name.
        """
        for name, value in values.items():
            self._board.add_scalar(f"{group}/{name}", value, update)
        append_record(self._log, {"group": group, "update": update, "seconds": seconds, **values})
        if self._tracker is None:
            return
        try:
            self._tracker.log({f"{group}/{k}": v for k, v in values.items()}, update)
        except Exception as e:  # hours of training are worth more than curves elsewhere
            logging.warning(
                f"the tracker failed and gets no more, metrics.jsonl and tensorboard go on: {e}"
            )
            self._close_tracker(failed=True)

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._board.close()
        self._close_tracker(failed=kind is not None)

    def _close_tracker(self, failed: bool) -> None:
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return
        try:
            tracker.close(failed)
        except Exception as e:  # must not hide what ended the training
            logging.warning(f"the tracker could not be closed: {e}")
