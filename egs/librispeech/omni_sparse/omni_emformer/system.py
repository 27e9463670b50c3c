# SPDX-License-Identifier: Apache-2.0
"""A system: what is trained, as a YAML file of conf/systems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from emformer.errors import RecipeError
from omni_plugin import OmniError, SparsitySettings


@dataclass(frozen=True)
class System:
    """A way to train a model of any configuration.

    Args:
      name: Of the file.
      sparsity: Settings of its supernet.
    """

    name: str
    sparsity: SparsitySettings


def load_system(path: str | Path) -> System:
    """Read a YAML file with the section ``sparsity``.

    Raises:
      RecipeError: The file is missing, is no YAML, or has an unknown or impossible setting.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as e:
        raise RecipeError(f"{path}: no such system ({e.strerror}); see conf/systems") from e
    except yaml.YAMLError as e:
        raise RecipeError(f"{path}: not YAML: {' '.join(str(e).split())}") from e
    if not isinstance(data, dict) or set(data) != {"sparsity"}:
        raise RecipeError(f"{path}: a system has the section sparsity and no other")
    try:
        return System(path.stem, SparsitySettings.from_dict(data["sparsity"]))
    except OmniError as e:
        raise RecipeError(f"{path}: {e}") from e
