# SPDX-License-Identifier: Apache-2.0
"""Training's figures as JSON lines, in a file that survives an interruption anywhere."""

from __future__ import annotations

import json
from pathlib import Path

from emformer.experiment.whole_file import write_whole


def append_record(path: Path, record: dict) -> None:
    """Add a record as one line."""
    with open(path, "a") as f:
        f.write(json.dumps(record) + "\n")


def read_records(path: Path) -> list[dict]:
    """All records; a line cut off by an interruption is left out, a missing file has none."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def drop_after(path: Path, update: int) -> None:
    """Forget what an interrupted run wrote after the checkpoint that is gone on from.

    Args:
      path: The file.
      update: That checkpoint's; records of later updates are dropped.
    """
    if not path.exists():
        return
    kept = [r for r in read_records(path) if r["update"] <= update]
    write_whole(path, "".join(json.dumps(record) + "\n" for record in kept))
