# SPDX-License-Identifier: Apache-2.0
"""Where a run says what it does."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from emformer.errors import RecipeError


def setup_logging(log_dir: Path, name: str, rank: int = 0) -> None:
    """Log to ``<log_dir>/log-<name>-<date>[-rank]`` and, on rank 0, to stderr."""
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise RecipeError(f"{log_dir}: cannot be made ({e.strerror}); choose another folder") from e
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S")
    suffix = f"-{rank}" if rank else ""
    handlers: list[logging.Handler] = [logging.FileHandler(log_dir / f"log-{name}-{stamp}{suffix}")]
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
