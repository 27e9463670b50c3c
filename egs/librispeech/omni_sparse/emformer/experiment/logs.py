# SPDX-License-Identifier: Apache-2.0
"""Where a run says what it does."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from emformer.errors import RecipeError


def setup_logging(log_dir: Path, name: str, rank: int = 0) -> None:
    """Log to ``<log_dir>/log-<name>-<date>[-rank]`` and, on rank 0, to stderr."""
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S")
    suffix = f"-{rank}" if rank else ""
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        to_file = logging.FileHandler(log_dir / f"log-{name}-{stamp}{suffix}")
    except OSError as e:
        raise RecipeError(
            f"{log_dir.parent}: cannot be written to ({e.strerror}); choose another folder, or "
            "copy it"
        ) from e
    handlers: list[logging.Handler] = [to_file]
    if rank == 0:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        level=logging.INFO,
        handlers=handlers,
        force=True,
    )


def only_log_to_file() -> None:
    """Keep what each decoding says off the terminal, but for warnings."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING)
