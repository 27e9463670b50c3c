# SPDX-License-Identifier: Apache-2.0
"""``--set`` for systems: which settings are of their files, and which come to nothing in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from emformer.config import Config
from emformer.errors import RecipeError
from emformer.overrides import Override, near, setting_names
from omni_emformer.supernet.system import System, load_system, system_settings

# What a system with a model for each of its levels takes from them.
_OF_LEVELS = ("sparsity.max_sparsity", "sparsity.levels", "sparsity.valid_levels")
_OF_CONFIG = {f.name for f in fields(Config)}


def split_overrides(
    overrides: Sequence[Override], config: Path | str
) -> tuple[list[Override], list[Override]]:
    """Those of the configuration, and those of systems.

    Raises:
      RecipeError: One is of no section of either; ``config`` is the file of the configuration.
    """
    known = system_settings()
    of_systems = {name.partition(".")[0] for name in known}
    for one in overrides:
        if one.section not in _OF_CONFIG | of_systems:
            raise RecipeError(
                f"{one}: neither {config} nor a system has a section "
                f"{one.section}{near(one.name, [*setting_names(Config), *known])}"
            )
    return (
        [one for one in overrides if one.section in _OF_CONFIG],
        [one for one in overrides if one.section in of_systems],
    )


def load_changed_system(
    path: Path, of_config: Sequence[Override], of_system: Sequence[Override]
) -> System:
    """A system with other settings, in each of which those of both kinds come to something.

    Raises:
      RecipeError: The file cannot be read, a setting is none of it, or the system decides by
        itself what was set.
    """
    system = load_system(path, of_system)
    chain = system.chain.training if system.chain else {}
    also = {one.name for one in of_system}
    for one in of_config:
        section, _, name = one.name.partition(".")
        if section == "model" and name in system.model:
            raise RecipeError(f"{one}: {path} says its own model.{name}; change it there")
        if one.name == "training.epoch_share" and system.chain:
            raise RecipeError(f"{one}: chain.shares of {path} decides it; leave one of them out")
        if section == "training" and name in chain and f"chain.training.{name}" not in also:
            raise RecipeError(
                f"{one}: {path} says its own chain.training.{name}; give that by --set, too"
            )
    for one in of_system:
        if system.levels and one.name in _OF_LEVELS:
            raise RecipeError(f"{one}: the levels of {path} decide it; leave one of them out")
    return system
