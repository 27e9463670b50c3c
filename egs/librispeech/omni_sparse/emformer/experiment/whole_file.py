# SPDX-License-Identifier: Apache-2.0
"""Text files that are there whole, or as they were before."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its place, in UTF-8, and rename it into it.

    Raises:
      OSError: It cannot be written; what was there before is as it was.
    """
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
