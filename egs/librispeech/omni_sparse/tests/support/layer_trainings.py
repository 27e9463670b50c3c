# SPDX-License-Identifier: Apache-2.0
"""Layer selections of the tiny model, for the tests of the glue."""

from __future__ import annotations

import functools
from pathlib import Path

from emformer.training.trainer import Trainer
from omni_emformer.supernet.layer_method import LayerMethod
from omni_plugin.layer_selection import LayerSelectionSettings
from tests.support import supernets, training

HEADS = [r"^joiner\.encoder_proj$", "^simple_am_proj$"]
#: Of the tiny model's 4 units, 1 and 2 are selected from update 0.1 to 0.5 of the run.
LAYERS = {"sizes": [1, 2], "start": 0.1, "end": 0.5, "heads": HEADS}

#: What is trained, by name: settings of the selection, and of a supernet.
WAYS: dict[str, tuple[dict, dict | None]] = {
    "simple_top_k": ({"selector": {"name": "simple_top_k"}}, None),
    "iterative_zero_out": ({"selector": {"name": "iterative_zero_out"}}, None),
    "combined": ({"selector": {"name": "simple_top_k"}}, {"sampler": {"name": "split"}}),
}


def settings(**changes) -> LayerSelectionSettings:
    return LayerSelectionSettings.from_dict({**LAYERS, **changes})


def method(way: str, base: type[LayerMethod] = LayerMethod, **changes) -> functools.partial:
    """What makes the method of a trainer; ``changes`` are to the settings of the selection."""
    layers, sparsity = WAYS[way]
    return functools.partial(
        base,
        layers=settings(**{**layers, **changes}),
        sparsity=None if sparsity is None else supernets.settings(**sparsity),
    )


def trainer(data: Path, config: Path, exp_dir: Path, way: str, **changes) -> Trainer:
    return training.trainer(data, config, exp_dir, method=method(way, **changes))
