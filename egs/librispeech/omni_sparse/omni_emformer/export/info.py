# SPDX-License-Identifier: Apache-2.0
"""export.json: what an exported sub-network is, beside its files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from emformer.config import Config
from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError

#: Name of the file.
INFO = "export.json"


def write_info(folder: Path, info: DecodingInfo) -> None:
    record = {**dataclasses.asdict(info), "config": info.config.to_dict()}
    (folder / INFO).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def read_info(folder: Path) -> DecodingInfo:
    """What :func:`write_info` wrote.

    Raises:
      RecipeError: It is not there, or of another version.
    """
    path = folder / INFO
    try:
        record = json.loads(path.read_text())
        return DecodingInfo(**{**record, "config": Config.from_dict(record["config"], str(path))})
    except OSError as e:
        raise RecipeError(f"{path}: cannot be read ({e.strerror}); export first") from None
    except (ValueError, KeyError, TypeError) as e:
        raise RecipeError(f"{path}: not of this version ({e}); export again") from None
