# SPDX-License-Identifier: Apache-2.0
"""What else differs between two experiments than what a report compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emformer.config import load_config
from emformer.errors import RecipeError
from emformer.experiment.same_run import FREE
from omni_emformer.supernet.system_file import read_system

#: What a system of smaller dense models has its own of.
_OWN_SIZE = {"encoder_dim", "ffn_dim", "num_heads", "num_layers", "removed_units"}

Conditions = dict[str, Any]


def read_conditions(folder: Path) -> Conditions | None:
    """Settings of a training by ``section.name``, as its folder tells them.

    Without those that change no weight, those that the system itself changes, and the number of
    epochs, which a report knows from the updates. None where the folder does not tell.
    """
    try:
        found = load_config(folder / "config.yaml").to_dict()
        system = read_system(folder)
    except RecipeError:
        return None
    own = {f"model.{name}" for name in system.get("model", {})}
    if "match_sparsity" in system or "match_depth" in system:
        own |= {f"model.{name}" for name in _OWN_SIZE}
    if "chain" in system:
        changed = (*system["chain"].get("training", {}), "epoch_share", "init_from")
        own |= {f"training.{name}" for name in changed}
    return {
        f"{section}.{name}": value
        for section, settings in found.items()
        for name, value in settings.items()
        if name not in FREE and f"{section}.{name}" not in own
    }


def differences(one: Conditions | None, other: Conditions | None) -> list[str]:
    """Settings in which two trainings differ, to read; none where one of them is not known."""
    if one is None or other is None:
        return []
    return [
        f"{name} {_said(one[name])} in place of {_said(other[name])}"
        for name in one
        if name in other and one[name] != other[name]
    ]


def _said(value: Any) -> Any:
    return "none" if value == "" else value


def same_updates(one: float, other: float) -> bool:
    """But for the few by which runs of equal epochs differ."""
    return abs(one - other) <= 0.01 * other
