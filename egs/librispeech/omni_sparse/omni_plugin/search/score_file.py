# SPDX-License-Identifier: Apache-2.0
"""What was measured, in a file that processes share and an interruption leaves whole."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple

from omni_plugin.search.space import Vector


class Measured(NamedTuple):
    """A figure of a vector on a part of the data.

    Args:
      vector: Of the network.
      metric: What was measured.
      part: Number of the part of the data.
    """

    vector: Vector
    metric: str
    part: int


class ScoreFile:
    """A line for each measurement; every process sees what the others have written.

    Args:
      path: The file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known: dict[Measured, tuple[float, float]] = {}
        self._read = 0  # bytes

    def get(self, what: Measured) -> tuple[float, float] | None:
        """Sum and count of a measurement; None if there is none yet."""
        if what not in self._known:
            self._read_on()
        return self._known.get(what)

    def add(self, what: Measured, total: float, count: float) -> None:
        """Store a measurement for good, in a single write under a lock."""
        record = {**what._asdict(), "sum": total, "count": count}
        line = json.dumps(record).encode() + b"\n"
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            size = os.fstat(fd).st_size
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            os.write(fd, b"\n" + line if torn else line)
        finally:
            os.close(fd)
        self._known[what] = (total, count)

    def _read_on(self) -> None:
        """Take in the lines that were written since the last time."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as f:
            f.seek(self._read)
            for line in f:
                if not line.endswith(b"\n"):
                    break  # being written, or cut off; the next line starts a new one
                self._read += len(line)
                try:
                    record = json.loads(line)
                    what = Measured(tuple(record["vector"]), record["metric"], record["part"])
                    self._known[what] = (record["sum"], record["count"])
                except (ValueError, KeyError, TypeError):
                    continue  # cut off by an interruption
