# SPDX-License-Identifier: Apache-2.0
"""Supernets of the tiny model, for the tests of the glue."""

from __future__ import annotations

import functools
from pathlib import Path

import yaml

from emformer.training.trainer import Trainer
from omni_emformer.supernet.method import OmniMethod
from omni_plugin import SparsitySettings
from tests.support import training

#: Dense for a tenth of the run, ranked every 3 updates of its first half.
SETTINGS = {
    "include": [r"^encoder\.emformer\."],
    "ramp": {"name": "cubic", "start": 0.1, "end": 0.3},
    "refresh_every": 3,
    "freeze_from": 0.5,
    "valid_levels": [0.5],
}
SANDWICH = {"sampler": {"name": "sandwich"}, "distillation": {"start": 0.2}}


def settings(**changes) -> SparsitySettings:
    return SparsitySettings.from_dict({**SETTINGS, **changes})


def method(base: type[OmniMethod] = OmniMethod, **changes) -> functools.partial:
    """What makes the method of a trainer; ``changes`` are to :data:`SETTINGS`."""
    return functools.partial(base, sparsity=settings(**changes))


def trainer(data: Path, config: Path, exp_dir: Path, *more: str, **changes) -> Trainer:
    """A trainer of a supernet; ``more`` are options of train.py, ``changes`` to the settings."""
    return training.trainer(data, config, exp_dir, *more, method=method(**changes))


def write_system(path: Path, **changes) -> Path:
    """A system's file; values that are None leave a setting out."""
    given = {name: v for name, v in {**SETTINGS, **changes}.items() if v is not None}
    path.write_text(yaml.safe_dump({"sparsity": given}))
    return path
