# SPDX-License-Identifier: Apache-2.0
"""YAML files of users: what is wrong with one is told in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from emformer.errors import RecipeError


def read_yaml(path: str | Path, what: str, hint: str) -> dict[str, Any]:
    """The mapping that a file holds.

    Args:
      path: Of the file.
      what: What it is to be, such as ``configuration``.
      hint: What to do where it is missing.

    Raises:
      RecipeError: It is missing, no text, no YAML, or no mapping from words.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as e:
        raise RecipeError(f"{path}: no such {what} ({e.strerror}); {hint}") from e
    except (yaml.YAMLError, ValueError, RecursionError) as e:  # ValueError: no UTF-8, no such date
        raise RecipeError(f"{path}: not YAML: {' '.join(str(e).split())}") from e
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise RecipeError(f"{path}: a {what} has lines of the form 'name: value'")
    return data
