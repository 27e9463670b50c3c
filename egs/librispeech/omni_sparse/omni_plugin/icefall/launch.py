# SPDX-License-Identifier: Apache-2.0
"""Replaces functions of a recipe's train.py, so that it trains a supernet."""

from __future__ import annotations

import argparse
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from omni_plugin.icefall.layers import LayerSession
from omni_plugin.icefall.options import add_options
from omni_plugin.icefall.recipe import check_functions, import_recipe, model_function
from omni_plugin.icefall.session import Session
from omni_plugin.icefall.sparsity import SparsitySession
from omni_plugin.icefall.workarounds import WORKAROUNDS

#: Says that the functions of a train.py are replaced.
_MARK = "_omni_plugin"


def install(train: dict[str, Any]) -> None:
    """Replace functions of a train.py; its ``globals()`` do, where a train.py does it itself.

    The recipe's ``main`` then has the ``--omni-*`` options and trains a supernet. Nothing else
    changes for what only imports the file, such as decode.py.

    Raises:
      OmniError: A function is missing.
    """
    if _MARK in train:
        return
    check_functions(train, str(train.get("__file__", "train.py")))
    train[_MARK] = _Replacements(train)


class _Replacements:
    """Stands in for functions of one train.py; the session begins where the model is made."""

    def __init__(self, train: dict[str, Any]) -> None:
        self.session: Session | None = None
        self.run = train["run"]
        maker = model_function(train)
        for name, new in {
            "get_parser": self._get_parser,
            maker: self._get_model,
            "load_checkpoint_if_available": self._load,
            "train_one_epoch": self._train_one_epoch,
            "compute_loss": self._compute_loss,
        }.items():
            train[name] = _around(train[name], new)

    def _get_parser(self, original: Callable[..., Any]) -> argparse.ArgumentParser:
        parser = original()
        add_options(parser)
        return parser

    def _get_model(self, original: Callable[..., Any], params: Any) -> nn.Module:
        model = original(params)
        # decode.py and others make a model by it too; they have no such options.
        if "omni_pattern" in params:
            kind = LayerSession if params["omni_layers"] else SparsitySession
            self.session = kind(model, params)
        return model

    def _load(self, original: Callable[..., Any], **given: Any) -> Any:
        checkpoint = original(**given)
        if checkpoint:
            self.session.load(checkpoint)
        return checkpoint

    def _train_one_epoch(self, original: Callable[..., Any], **given: Any) -> Any:
        self.session.start_epoch(given["params"], given["train_dl"], given["scaler"])
        return original(**given)

    def _compute_loss(self, original: Callable[..., Any], **given: Any) -> Any:
        compute = functools.partial(original, **given)
        return self.session.compute_loss(compute, given["params"], given["is_training"])


def _around(original: Callable[..., Any], new: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls ``new`` with the original and its arguments by name."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def replacement(*args: Any, **options: Any) -> Any:
        return new(original, **signature.bind(*args, **options).arguments)

    return replacement


def prepare(recipe: str, workarounds: Sequence[str]) -> Any:
    """The recipe's module ``train``, ready to train a supernet.

    Raises:
      OmniError: See :func:`import_recipe`.
    """
    train = import_recipe(recipe)
    if _MARK not in vars(train):
        for name in workarounds:
            WORKAROUNDS[name](vars(train))
        install(vars(train))
    return train


def run(rank: int, world_size: int, args: argparse.Namespace) -> None:
    """The recipe's ``run``, in a process that ``mp.spawn`` has started and that knows nothing."""
    train = prepare(args.omni_recipe, args.omni_workaround)
    getattr(train, _MARK).run(rank, world_size, args)


def train(recipe: Path, omni: Sequence[str], arguments: Sequence[str]) -> None:
    """Train a recipe's model as a supernet.

    Args:
      recipe: Its folder.
      omni: The ``--omni-*`` options.
      arguments: The recipe's own.
    """
    parser = argparse.ArgumentParser(prog="train", allow_abbrev=False)
    add_options(parser)
    workarounds = parser.parse_args(list(omni)).omni_workaround
    module = prepare(str(recipe), workarounds)
    module.run = run  # found by its name in spawned processes
    own = ["--omni-recipe", str(recipe.absolute())]
    sys.argv = [str(recipe / "train.py"), *arguments, *omni, *own]
    module.main()
