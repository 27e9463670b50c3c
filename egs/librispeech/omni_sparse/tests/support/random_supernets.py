# SPDX-License-Identifier: Apache-2.0
"""Supernets and layer selections that were never trained but say something."""

from __future__ import annotations

from pathlib import Path

import torch

from emformer.experiment.averaging import RunningAverage
from emformer.experiment.checkpoint import save_checkpoint
from omni_plugin import SuperNet
from tests.support import layer_trainings, supernets
from tests.support.random_weights import TOKENS, checkpoint_of, random_model, save_talkative
from tests.support.training import write_config


def write_checkpoint(
    exp_dir: Path, seed: int = 0, supernet: bool = True, tokens: list[str] = TOKENS, **changes
) -> None:
    """An epoch of random weights; ``changes`` are to the supernet's settings."""
    exp_dir.mkdir(parents=True, exist_ok=True)
    model = random_model(seed, tokens)
    average = RunningAverage(model)
    average.update(model)
    method = {}
    if supernet:
        wanted = supernets.settings(max_sparsity=0.75, **changes)
        ranks = SuperNet(model, wanted.pattern, wanted.include).ranks()
        method = {"settings": wanted.to_dict(), "ranks": ranks}
    state = checkpoint_of(model, average, tokens, method=method)
    save_checkpoint(exp_dir / "epoch-1.pt", state)


def talkative_supernet(data: Path, root: Path) -> Path:
    """The exp folder of a supernet for the tiny corpus; made in ``root``."""
    run = supernets.trainer(data, write_config(root / "tiny.yaml"), root / "exp")
    save_talkative(run)
    return root / "exp"


def talkative_selection(data: Path, root: Path, way: str) -> Path:
    """The same of a layer selection, which is settled at random; ``way`` is of its WAYS."""
    run = layer_trainings.trainer(data, write_config(root / "tiny.yaml"), root / "exp", way)
    layers = run.method.layers
    for update in range(run.total_updates):
        layers.passes(update)
    layers.order, layers.settled_at = [3, 0, 1, 2], 0
    with torch.no_grad():
        for name, parameter in run.model.named_parameters():
            if name.startswith("size_heads"):
                parameter.normal_()
    save_talkative(run)
    (root / "exp" / "system.yaml").write_text("layers: {}\n")  # as train.py would write it
    return root / "exp"
