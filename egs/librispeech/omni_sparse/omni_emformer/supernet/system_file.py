# SPDX-License-Identifier: Apache-2.0
"""system.yaml: what an experiment's folder was trained as, beside config.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from emformer.errors import RecipeError
from emformer.experiment.whole_file import write_whole
from emformer.yaml_file import read_yaml
from omni_emformer.supernet.system import System

_NAME = "system.yaml"
_FREE = ("name", "sparsity.valid_levels")  # change no weight


def read_system(exp_dir: Path) -> dict[str, Any]:
    """What :func:`write_system` wrote; empty where it did not, as beside a dense model.

    Raises:
      RecipeError: The file is damaged.
    """
    path = exp_dir / _NAME
    if not path.exists():
        return {}
    return read_yaml(path, "system", "remove it and train again")


def check_same_system(exp_dir: Path, system: System, seed: int) -> None:
    """Refuse to go on in the folder of another system.

    Raises:
      RecipeError: Names the first setting that differs.
    """
    written = read_system(exp_dir)
    before, now = _flat(written), _flat(_content(system, seed))
    for name in [*before, *now] if before else ():
        # A setting that the file's section lacks is newer than the file.
        newer = name not in before and "." in name and name.split(".")[0] in written
        if before.get(name) != now.get(name) and not newer and name not in _FREE:
            raise RecipeError(
                f"{exp_dir / _NAME}: {name} was {before.get(name)} and is now {now.get(name)}; "
                "use another --exp-dir"
            )


def write_system(exp_dir: Path, system: System, seed: int) -> None:
    """Write a system, whole or not at all."""
    write_whole(exp_dir / _NAME, yaml.safe_dump(_content(system, seed), sort_keys=False))


def _content(system: System, seed: int) -> dict[str, Any]:
    return {**system.to_dict(), "seed": seed}


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    """Settings by ``section.name``."""
    found = {}
    for section, value in content.items():
        for name, one in value.items() if isinstance(value, dict) else [("", value)]:
            found[f"{section}.{name}".rstrip(".")] = one
    return found
