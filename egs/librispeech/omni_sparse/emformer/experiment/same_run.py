# SPDX-License-Identifier: Apache-2.0
"""Keeps a run from going on in the folder of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emformer.config import Config
from emformer.errors import RecipeError

#: Settings that change no weight, or (num_epochs) that prolong a run.
FREE = {
    "num_epochs", "num_workers", "log_interval", "valid_interval", "save_every_n", "keep_last_k",
}  # fmt: skip
#: Settings that count at a run's start alone.
AT_THE_START = {"init_from"}


def check_same_run(
    path: Path,
    state: dict[str, Any],
    config: Config,
    seed: int,
    tokens: list[str],
    normalization: str,
) -> None:
    """Refuse to go on from another run's checkpoint; the last two are of the BPE model.

    Raises:
      RecipeError: Names the first setting that differs. Those of :data:`FREE` and
        :data:`AT_THE_START` may. Or it has no more than weights, as exported ones do.
    """
    if "optimizer" not in state:
        raise RecipeError(f"{path}: no more than weights, as exported; use another --exp-dir")
    if (state["tokens"], state["normalization"]) != (tokens, normalization):
        raise RecipeError(f"{path}: trained with another BPE model; use another --exp-dir")
    if state["seed"] != seed:
        raise RecipeError(f"{path}: trained with --seed {state['seed']}; use another --exp-dir")
    # Rebuilt, so that a setting that is newer than the checkpoint has its default there.
    before = Config.from_dict(state["config"], str(path)).to_dict()
    for section, settings in config.to_dict().items():
        for name, value in settings.items():
            was = before[section][name]
            if was != value and name not in FREE | AT_THE_START:
                raise RecipeError(
                    f"{path}: trained with {section}.{name} {was}, now {value}; "
                    "use another --exp-dir"
                )
