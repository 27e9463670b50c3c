# SPDX-License-Identifier: Apache-2.0
"""Loads a sub-network of a trained model for decoding."""

from __future__ import annotations

import argparse
from pathlib import Path

from emformer.checkpoint import load_checkpoint
from emformer.decode_model import DecodingInfo, load_decoding_model
from emformer.decode_run import Loader
from emformer.errors import RecipeError
from emformer.model import Transducer
from emformer.results import DENSE
from omni_plugin import OmniError, SparsitySettings, SuperNet
from omni_plugin.patterns import make_pattern
from omni_plugin.supernet.supernet import Choice


def make_supernet(model: Transducer, settings: SparsitySettings) -> SuperNet:
    """A supernet by its settings, ranked by the weights as they are.

    Raises:
      RecipeError: The settings do not fit the model.
    """
    try:
        pattern = make_pattern(settings.pattern, settings.score)
        return SuperNet(model, pattern, settings.include, settings.exclude, settings.max_sparsity)
    except OmniError as e:
        raise RecipeError(f"sparsity: {e}") from e


def settings_of(checkpoint: str | Path) -> SparsitySettings | None:
    """Settings of the supernet a checkpoint holds; None if it was trained without any.

    Raises:
      RecipeError: They are not of this version.
    """
    state = load_checkpoint(Path(checkpoint))["method"]
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
      rerank: Rank the blocks by the (averaged) weights that are decoded, and not as the training
        last did, which is what the sub-networks were trained with.
    """

    def load(args: argparse.Namespace) -> tuple[Transducer, DecodingInfo]:
        model, info = load_decoding_model(args)
        trained = settings_of(info.checkpoint)
        if trained is None and settings is None:
            raise RecipeError(f"{info.checkpoint} holds no supernet; give the settings to prune by")
        supernet = make_supernet(model, trained or settings)
        try:
            if trained is not None and not rerank:
                supernet.set_ranks(load_checkpoint(Path(info.checkpoint))["method"]["ranks"])
            subnet = supernet.subnet(choice)
            model.load_state_dict(supernet.bake(subnet))
        except OmniError as e:
            raise RecipeError(f"{info.checkpoint}: {e}") from e
        info.measure(model)
        info.subnet = DENSE if subnet.is_dense else subnet.name
        info.tail += tail
        return model, info

    return load
