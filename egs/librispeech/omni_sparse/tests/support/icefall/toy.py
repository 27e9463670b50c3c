# SPDX-License-Identifier: Apache-2.0
"""The stand-in's model in this process, under a name that clashes with nothing."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from omni_plugin.icefall.options import add_options
from omni_plugin.icefall.sparsity import SparsitySession
from tests.support.icefall.cases import STAND_IN


def load_module(name: str) -> ModuleType:
    """A module of the stand-in that imports none of the others."""
    spec = importlib.util.spec_from_file_location(
        f"stand_in_{name}", STAND_IN.recipe / f"{name}.py"
    )
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


models, data = load_module("model"), load_module("asr_datamodule")


class Params(dict):
    """As icefall's, with metrics that have a type of their own."""


class Metrics(dict):
    pass


class Scaler:
    """A GradScaler whose scale can be seen."""

    factor = 8.0

    def scale(self, loss: Tensor) -> Tensor:
        return self.factor * loss


def params_of(*words: str) -> Params:
    parser = argparse.ArgumentParser()
    add_options(parser)
    params = Params(vars(parser.parse_args(words)))
    params.update({"batch_idx_train": 0, "num_epochs": 1, "start_epoch": 1})
    return params


def make_model(lstm: bool = False, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return models.Transducer(data.FEATURES, 32, 1, data.VOCAB, lstm)


def compute(model: nn.Module, seed: int = 0) -> Callable[[], tuple[Tensor, Any]]:
    """The stand-in's loss of a batch, as a session gets it."""
    batch = data.make_batch(seed)
    y = torch.tensor(batch["supervisions"]["text"])

    def run() -> tuple[Tensor, Any]:
        simple, pruned = model(x=batch["inputs"], y=y)
        loss = 0.5 * simple + pruned
        metrics = Metrics(frames=80, loss=loss.item(), pruned_loss=pruned.item())
        return loss, metrics

    return run


def started(model: nn.Module, *words: str) -> tuple[SparsitySession, Params]:
    """A session at full sparsity from the second update on."""
    ramp = ("--omni-ramp-start", "0", "--omni-ramp-end", "0.01")
    params = params_of(*ramp, "--omni-total-updates", "100", *words)
    session = SparsitySession(model, params)
    session.start_epoch(params, [], Scaler())
    params["batch_idx_train"] = 50
    return session, params
