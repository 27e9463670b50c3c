# SPDX-License-Identifier: Apache-2.0
"""Loads a sub-network of a trained model for decoding."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import omni_plugin
from emformer.decoding.model import DecodingInfo, load_decoding_model
from emformer.decoding.run import Loader
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.model import Transducer
from emformer.scoring.results import DENSE
from omni_plugin import OmniError, SparsitySettings, SuperNet
from omni_plugin.supernet.supernet import Choice


def make_supernet(model: Transducer, settings: SparsitySettings) -> SuperNet:
    """As :func:`omni_plugin.make_supernet`; raises RecipeError."""
    try:
        return omni_plugin.make_supernet(model, settings)
    except OmniError as e:
        raise RecipeError(f"sparsity: {e}") from e


def settings_of(checkpoint: str | Path) -> SparsitySettings | None:
    """Settings of the supernet a checkpoint holds; None if it was trained without any.

    Raises:
      RecipeError: They are not of this version.
    """
    return _settings(load_checkpoint(Path(checkpoint))["method"], checkpoint)


def restore_supernet(
    model: Transducer, checkpoint: str | Path, rerank: bool = False
) -> tuple[SparsitySettings, SuperNet] | None:
    """The supernet that a checkpoint holds; None if it was trained without any.

    Args:
      model: With the checkpoint's weights, perhaps averaged.
      checkpoint: Its file.
      rerank: Rank the blocks by the weights of ``model``, and not as the training last did, which
        is what the sub-networks were trained with.

    Raises:
      RecipeError: It is of another version.
    """
    return supernet_of(model, load_checkpoint(Path(checkpoint))["method"], checkpoint, rerank)


def supernet_of(
    model: Transducer, state: dict[str, Any], checkpoint: str | Path, rerank: bool = False
) -> tuple[SparsitySettings, SuperNet] | None:
    """As :func:`restore_supernet`, of the state that the training method left in a checkpoint."""
    settings = _settings(state, checkpoint)
    if settings is None:
        return None
    supernet = make_supernet(model, settings)
    if not rerank:
        try:
            supernet.set_ranks(state["ranks"])
        except OmniError as e:
            raise RecipeError(f"{checkpoint}: {e}") from e
    return settings, supernet


def _settings(state: dict[str, Any], checkpoint: str | Path) -> SparsitySettings | None:
    if "settings" not in state:
        return None
    try:
        return SparsitySettings.from_dict(state["settings"])
    except OmniError as e:
        raise RecipeError(f"{checkpoint}: {e}; it is of another version") from e


def subnet_loader(
    choice: Choice, tail: str, settings: SparsitySettings | None = None, rerank: bool = False
) -> Loader:
    """A loader for :func:`emformer.decode.main` which gives a sub-network with plain weights.

    Args:
      choice: Which one, see :meth:`SuperNet.subnet`.
      tail: End of the result files' names.
      settings: Of a model that was trained without a supernet, to prune it in one shot.
      rerank: See :func:`restore_supernet`.
    """

    def load(args: argparse.Namespace) -> tuple[Transducer, DecodingInfo]:
        model, info = load_decoding_model(args)
        restored = restore_supernet(model, info.checkpoint, rerank)
        if restored is None and settings is None:
            raise RecipeError(f"{info.checkpoint} holds no supernet; give the settings to prune by")
        supernet = restored[1] if restored else make_supernet(model, settings)
        try:
            subnet = supernet.subnet(choice)
        except OmniError as e:
            raise RecipeError(f"{info.checkpoint}: {e}") from e
        model.load_state_dict(supernet.bake(subnet))
        info.measure(model)
        info.subnet = DENSE if subnet.is_dense else subnet.name
        info.tail += tail
        return model, info

    return load
