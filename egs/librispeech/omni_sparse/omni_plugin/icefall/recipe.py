# SPDX-License-Identifier: Apache-2.0
"""A recipe folder of icefall: its train.py, imported as it is, and the functions it must have."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from omni_plugin.errors import OmniError

#: Functions of train.py that the launcher replaces or calls.
FUNCTIONS = (
    "get_parser",
    "get_params",
    "compute_loss",
    "train_one_epoch",
    "load_checkpoint_if_available",
    "run",
    "main",
)
#: What makes the whole model is called one of these.
MODEL_FUNCTIONS = ("get_model", "get_transducer_model")
#: What the launcher needs of a function's arguments.
ARGUMENTS = {
    "compute_loss": ("params", "model", "batch", "is_training"),
    "train_one_epoch": ("params", "train_dl", "scaler"),
}


def root_of(recipe: Path) -> Path | None:
    """The folder above a recipe that has the package ``icefall``; None where there is none."""
    above = recipe.absolute().parents
    return next((path for path in above if (path / "icefall/__init__.py").is_file()), None)


def add_to_path(recipe: Path) -> None:
    """Let a recipe's modules, and icefall's, be imported as its own scripts import them."""
    root = root_of(recipe)
    if root is not None and importlib.util.find_spec("icefall") is None:
        sys.path.insert(0, str(root))
    folder = str(recipe.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def import_recipe(recipe: Path | str) -> ModuleType:
    """A recipe's train.py as the module ``train``, unmodified.

    Raises:
      OmniError: There is no such recipe, it cannot be imported, or it lacks a function.
    """
    recipe = Path(recipe)
    if not (recipe / "train.py").is_file():
        raise OmniError(f"{recipe}: there is no train.py; give the folder of an icefall recipe")
    add_to_path(recipe)
    try:
        train = importlib.import_module("train")
    except ImportError as e:
        raise OmniError(
            f"{recipe}/train.py cannot be imported: {e}; install what icefall's "
            "requirements.txt lists, and its root on PYTHONPATH"
        ) from e
    if Path(train.__file__).parent.absolute() != recipe.absolute():
        raise OmniError(
            f"the module train is {train.__file__}, not that of {recipe}; "
            "use one process for each recipe"
        )
    check_functions(vars(train), str(recipe / "train.py"))
    return train


def check_functions(names: Mapping[str, Any], where: str) -> None:
    """Raises OmniError if a train.py lacks a function, or one of its arguments."""
    if not any(callable(names.get(name)) for name in MODEL_FUNCTIONS):
        raise OmniError(f"{where} has no function {' or '.join(MODEL_FUNCTIONS)}")
    for name in FUNCTIONS:
        if not callable(names.get(name)):
            raise OmniError(f"{where} has no function {name}; looked for {', '.join(FUNCTIONS)}")
    for name, wanted in ARGUMENTS.items():
        known = inspect.signature(names[name]).parameters
        for argument in wanted:
            if argument not in known:
                raise OmniError(f"{where}: {name} has no argument {argument}, only {list(known)}")


def model_function(names: Mapping[str, Any]) -> str:
    """Name of the function that makes the whole model."""
    return next(name for name in MODEL_FUNCTIONS if callable(names.get(name)))
