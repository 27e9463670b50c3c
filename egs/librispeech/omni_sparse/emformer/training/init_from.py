# SPDX-License-Identifier: Apache-2.0
"""Trainings that start from the weights of another one.

Weights are taken by name where the shapes agree; what is left out is named in the log. The encoder
must fit as a whole, and the symbols must be the same: else little is transferred, and nobody would
notice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from emformer.config import Config, ModelConfig
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint, newest_epoch
from emformer.model import Transducer

#: Settings of the encoder that leave the shapes of its weights, and change what these mean.
_MEANING = ("subsampling", "num_heads", "activation")
_ENCODER = "encoder."
_UNKNOWN = "is not in this model"


@dataclass(frozen=True)
class Source:
    """What a training starts from.

    Args:
      path: Of the checkpoint.
      state: Its content.
    """

    path: Path
    state: dict[str, Any]

    @property
    def model(self) -> ModelConfig:
        return Config.from_dict(self.state["config"], str(self.path)).model


def read_source(given: Path) -> Source:
    """Read a checkpoint, or the newest epoch's of an experiment's folder.

    Raises:
      RecipeError: There is none, or it is damaged.
    """
    path = given / f"epoch-{newest_epoch(given)}.pt" if given.is_dir() else given
    return Source(path, load_checkpoint(path))


def check_symbols(source: Source, tokens: list[str], normalization: str) -> None:
    """The symbols must be the same by content, in order, and texts be read alike.

    Raises:
      RecipeError: They are not.
    """
    if source.state["tokens"] != tokens:
        raise RecipeError(
            f"--init-from {source.path}: its word pieces ({len(source.state['tokens'])}) are not "
            f"those of this training ({len(tokens)}); train both with the same --lang-dir"
        )
    if source.state["normalization"] != normalization:
        raise RecipeError(
            f"--init-from {source.path}: its texts are normalised by "
            f"{source.state['normalization']}, here by {normalization}"
        )


def check_encoder(source: Source, model: Transducer) -> None:
    """All of the encoder's weights must be in the source, and mean the same.

    Raises:
      RecipeError: Names the first that is not, or the setting that differs.
    """
    for name in _MEANING:
        there, here = getattr(source.model, name), getattr(model.config, name)
        if there != here:
            raise RecipeError(
                f"--init-from {source.path}: the encoder does not fit: model.{name} is {there} "
                f"there and {here} here"
            )
    for name, why in _not_taken(source, model).items():
        if name.startswith(_ENCODER) and why != _UNKNOWN:
            raise RecipeError(
                f"--init-from {source.path}: the encoder does not fit: {name} {why}; use the "
                "configuration that it was trained with"
            )


def _not_taken(source: Source, model: Transducer) -> dict[str, str]:
    """Weights of either side that are left out, and why."""
    own, theirs = model.state_dict(), source.state["model"]
    found = {}
    for name in (*own, *theirs):
        if name not in theirs:
            found[name] = "is missing there"
        elif name not in own:
            found[name] = _UNKNOWN
        elif own[name].shape != theirs[name].shape:
            there, here = tuple(theirs[name].shape), tuple(own[name].shape)
            found[name] = f"has shape {there} there and {here} here"
    return found


def take_weights(source: Source, model: Transducer) -> None:
    """Overwrite a new model's weights by those of the source that fit, and say which did not.

    Raises:
      RecipeError: The encoder does not fit.
    """
    check_encoder(source, model)
    own, left = model.state_dict(), _not_taken(source, model)
    taken = {name: w for name, w in source.state["model"].items() if name not in left}
    model.load_state_dict({**own, **taken})
    logging.info(f"starts from {source.path}: {len(taken)} of {len(own)} weights are taken")
    for name, why in left.items():
        logging.warning(f"not taken from {source.path}: {name} {why}")
    for field in fields(ModelConfig):
        there, here = getattr(source.model, field.name), getattr(model.config, field.name)
        if there != here:
            logging.info(f"{source.path} has model.{field.name} {there}, here it is {here}")
