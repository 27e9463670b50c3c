# SPDX-License-Identifier: Apache-2.0
"""The ``--omni-*`` options, which land in a recipe's params and so in its checkpoints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omni_plugin.distillation import DISTILLATIONS
from omni_plugin.errors import OmniError
from omni_plugin.icefall.workarounds import WORKAROUNDS
from omni_plugin.layer_selection import SELECTORS
from omni_plugin.sampling import RAMPS
from omni_plugin.settings import DistillationSettings, SparsitySettings

#: Samplers that an unmodified loop can run; split would need parts of a batch.
SAMPLERS = ("single", "per-rank", "sandwich")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; their defaults are those of :class:`SparsitySettings`."""
    default = SparsitySettings()
    group = parser.add_argument_group("omni_plugin: weight-sparsity supernet")
    add = group.add_argument
    add("--omni-recipe", default="", help=argparse.SUPPRESS)
    add("--omni-pattern", default=default.pattern, help="RxC, N:M or unstructured")
    add("--omni-include", nargs="+", default=[".*"], help="rules on names of weights")
    add("--omni-exclude", nargs="*", default=[], help="rules on names of weights to keep dense")
    add("--omni-max-sparsity", type=float, default=default.max_sparsity, help="highest in play")
    add("--omni-levels", nargs="*", type=float, default=[], help="only these sizes")
    add("--omni-valid-levels", nargs="*", type=float, default=[],
        help="validated beside dense and sparsest")  # fmt: skip
    add("--omni-sampler", choices=SAMPLERS, default="single", help="sub-networks of an update")
    add("--omni-ramp", choices=sorted(RAMPS), default=default.ramp["name"], help="its shape")
    add("--omni-ramp-start", type=float, default=default.ramp["start"], help="share of the run")
    add("--omni-ramp-end", type=float, default=default.ramp["end"], help="share of the run")
    add("--omni-refresh-every", type=int, default=default.refresh_every,
        help="updates between two rankings")  # fmt: skip
    add("--omni-freeze-from", type=float, default=default.freeze_from,
        help="share of the run after which the ranking stays")  # fmt: skip
    add("--omni-distillation", choices=["none", *DISTILLATIONS], default="none",
        help="what sub-networks learn from the full one, with the sampler sandwich")  # fmt: skip
    add("--omni-distillation-weight", type=float, default=DistillationSettings.weight,
        help="of that loss")  # fmt: skip
    add(
        "--omni-layers",
        nargs="+",
        type=float,
        default=[],
        help="instead of sparsities, numbers of "
        "Zipformer layers: shares below 1 or numbers; selected between the ramp's start and end",
    )
    add(
        "--omni-layer-selector",
        choices=sorted(SELECTORS),
        default="simple_top_k",
        help="how layers are selected",
    )
    add("--omni-settings", default="", help="JSON file with any further field of SparsitySettings")
    add("--omni-total-updates", type=int, default=0,
        help="of the whole run; 0 counts the first epoch's batches")  # fmt: skip
    add("--omni-seed", type=int, default=0, help="of the draws of sub-networks")
    add("--omni-workaround", nargs="*", choices=sorted(WORKAROUNDS), default=[],
        help="for faults of a recipe or machine, see the documentation")  # fmt: skip


def settings_of(params: Mapping[str, Any]) -> SparsitySettings:
    """Settings of a supernet by the options in a recipe's params.

    Raises:
      OmniError: They are impossible.
    """
    given = {
        "pattern": params["omni_pattern"],
        "include": list(params["omni_include"]),
        "exclude": list(params["omni_exclude"]),
        "max_sparsity": params["omni_max_sparsity"],
        "levels": list(params["omni_levels"]),
        "valid_levels": list(params["omni_valid_levels"]),
        "sampler": {"name": params["omni_sampler"]},
        "ramp": {
            "name": params["omni_ramp"],
            "start": params["omni_ramp_start"],
            "end": params["omni_ramp_end"],
        },
        "refresh_every": params["omni_refresh_every"],
        "freeze_from": params["omni_freeze_from"],
    }
    if params["omni_distillation"] != "none":
        weight = params["omni_distillation_weight"]
        given["distillation"] = {"kind": params["omni_distillation"], "weight": weight}
    if params["omni_settings"]:
        given.update(_read(Path(params["omni_settings"])))
    settings = SparsitySettings.from_dict(given, "omni")
    if settings.sampler["name"] not in SAMPLERS:
        raise OmniError(f"sampler {settings.sampler['name']!r}: here use {', '.join(SAMPLERS)}")
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise OmniError(f"--omni-settings {path}: {e}") from None
