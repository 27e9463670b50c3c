# SPDX-License-Identifier: Apache-2.0
"""Files which are either complete or absent, and markers that say what a step was made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` when the block ends well.

    The temporary name keeps the suffixes (lhotse chooses its format by them). After an exception,
    or a kill in between, ``path`` is as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        yield temporary
        if path.is_dir():  # a folder cannot be renamed onto a folder with something in it
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def digest(paths: list[Path]) -> str:
    """SHA-256 over the content of the files, in order."""
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as f:
            while block := f.read(1 << 20):
                total.update(block)
        total.update(b"\0")
    return total.hexdigest()


def facts_in(marker: Path) -> dict | None:
    """What :func:`mark_done` recorded; None where it did not, or in a damaged marker."""
    try:
        recorded = json.loads(Path(marker).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return recorded if isinstance(recorded, dict) else None


def is_done(marker: Path, facts: dict, outputs: list[Path], dropped: tuple[str, ...] = ()) -> bool:
    """Whether ``marker`` records these very facts (JSON values) and all the outputs are there.

    Args:
      marker, facts: As given to :func:`mark_done`.
      outputs: Files and folders.
      dropped: Facts that older markers have and that do not count.
    """
    recorded = facts_in(marker)
    if recorded is None:
        return False
    recorded = {name: value for name, value in recorded.items() if name not in dropped}
    return recorded == json.loads(json.dumps(facts)) and all(Path(p).exists() for p in outputs)


def is_made(marker: Path, facts: dict, manifests: list[Path], outputs: list[Path]) -> bool:
    """:func:`is_done` of what is made of manifests; knows the markers of release 0.1, too.

    Those have the digest of the files themselves, and the data folder's path of that time.
    """
    if is_done(marker, facts, outputs):
        return True
    return is_done(marker, {**facts, "manifests": digest(manifests)}, outputs, ("data_dir",))


def mark_done(marker: Path, facts: dict) -> None:
    with atomic_path(Path(marker)) as temporary:
        temporary.write_text(json.dumps(facts, sort_keys=True) + "\n", encoding="utf-8")
