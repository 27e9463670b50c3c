# SPDX-License-Identifier: Apache-2.0
"""sweep.json: how an experiment's results were made, beside results.jsonl."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from emformer.experiment.whole_file import write_whole

_NAME = "sweep.json"


def record_sweep(
    exp_dir: Path, words: Sequence[str], systems: Iterable[str], coverage: dict | None
) -> None:
    """Note a sweep's command, once however often it is run, and what its pattern covers.

    Nothing is written where that is noted already.

    Args:
      exp_dir: The experiment's folder.
      words: Command-line arguments.
      systems: Names in results that the sweep makes.
      coverage: See :meth:`Subnets.coverage`.
    """
    record = read_sweep(exp_dir)
    before = json.dumps(record)
    command = shlex.join(["python3", "-m", "omni_emformer.sweep", *words])
    if command not in record["commands"]:
        record["commands"].append(command)
    if coverage is not None:
        record["coverage"].update(dict.fromkeys(sorted(systems), coverage))
    if json.dumps(record) == before:
        return
    write_whole(exp_dir / _NAME, json.dumps(record, indent=2) + "\n")


def read_sweep(exp_dir: Path) -> dict:
    """``commands``, and ``coverage`` by system; both empty where there was no sweep."""
    try:
        record = json.loads((exp_dir / _NAME).read_text())
        return {"commands": list(record["commands"]), "coverage": dict(record["coverage"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"commands": [], "coverage": {}}
