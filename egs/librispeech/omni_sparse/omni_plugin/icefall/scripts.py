# SPDX-License-Identifier: Apache-2.0
"""Runs a recipe's own scripts, unmodified, on a sub-network with plain weights."""

from __future__ import annotations

import argparse
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omni_plugin.errors import OmniError
from omni_plugin.icefall.bake import EPOCH
from omni_plugin.icefall.recipe import import_recipe
from omni_plugin.icefall.workarounds import WORKAROUNDS


def model_options(recipe: Path, params: Mapping[str, Any]) -> list[str]:
    """The architecture that was trained, as options; icefall's scripts do not read it back.

    Args:
      recipe: Its train.py has ``add_model_arguments``.
      params: A checkpoint of it.
    """
    parser = argparse.ArgumentParser(add_help=False)
    import_recipe(recipe).add_model_arguments(parser)
    options = []
    for action in parser._actions:
        value = params.get(action.dest)
        if action.nargs == 0:  # a flag
            options += [action.option_strings[-1]] * bool(value)
        elif value is not None:
            options += [action.option_strings[-1], str(value)]
    return options


def run_script(
    recipe: Path,
    script: str,
    exp_dir: Path,
    params: Mapping[str, Any],
    arguments: Sequence[str],
    workarounds: Sequence[str] = (),
) -> None:
    """Run a script of a recipe on the ``epoch-99.pt`` of a folder.

    The present folder stays what it is: recipes find data/ in it.

    Args:
      recipe: Its folder.
      script: Such as ``decode.py``.
      exp_dir: With ``epoch-99.pt``.
      params: The supernet's checkpoint, for the architecture.
      arguments: The script's own; they go last, and so win.
      workarounds: See :data:`WORKAROUNDS`.

    Raises:
      OmniError: There is no such script, or it fails.
    """
    if not (recipe / script).is_file():
        raise OmniError(f"{recipe} has no {script}")
    chosen = ["--exp-dir", str(exp_dir), "--epoch", str(EPOCH), "--avg", "1"]
    chosen += ["--use-averaged-model", "0"]
    options = [*chosen, *model_options(recipe, params), *arguments]
    command = [sys.executable, "-m", "omni_plugin.icefall.scripts", str(recipe), script]
    command += [",".join(workarounds), *options]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise OmniError(f"{recipe / script} failed (exit status {code}), see above")


def _main(recipe: str, script: str, workarounds: str, *arguments: str) -> None:
    """In a process of its own: a recipe's modules have names like train, and stay loaded."""
    train = import_recipe(recipe)
    for name in filter(None, workarounds.split(",")):
        WORKAROUNDS[name](vars(train))
    sys.argv = [str(Path(recipe) / script), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _main(*sys.argv[1:])
