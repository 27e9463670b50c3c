# SPDX-License-Identifier: Apache-2.0
"""Folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omni_plugin.errors import OmniError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write into, which takes the name ``path`` once all is written.

    Raises:
      OmniError: There is something at ``path``.
    """
    if path.exists():
        raise OmniError(f"{path} exists; delete it or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.mkdir()
    try:
        yield part
        os.rename(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
