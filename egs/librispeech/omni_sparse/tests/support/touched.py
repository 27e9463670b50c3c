# SPDX-License-Identifier: Apache-2.0
"""Whether a folder is left as it was."""

from __future__ import annotations

from pathlib import Path


def touched(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What changes with anything that is written, made, renamed or deleted below a folder."""
    found = {p: p.lstat() for p in (folder, *folder.rglob("*"))}
    return {p: (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in found.items()}
