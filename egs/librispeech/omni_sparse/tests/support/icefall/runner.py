# SPDX-License-Identifier: Apache-2.0
"""Runs the scripts of an icefall recipe, and the plugin on them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from omni_plugin.icefall.source import load_any
from tests.support.icefall.cases import Case
from tests.support.processes import RECIPE, run_python


class Runner:
    """Runs a recipe in a folder that has its data/.

    Args:
      case: Which recipe.
      folder: Working directory of all commands.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.said = ""  # by the run that `trained` makes
        roots = [str(RECIPE), str(case.root)]
        if os.environ.get("PYTHONPATH"):
            roots.append(os.environ["PYTHONPATH"])
        path = os.pathsep.join(roots)
        self.changes = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def __call__(self, *words: object, check: bool = True) -> subprocess.CompletedProcess:
        """Run python with these arguments; fails with its output unless told not to."""
        return run_python(*words, check=check, cwd=self.folder, **self.changes)

    def omni(self, command: str, *words: object, check: bool = True):
        base = ["-m", "omni_plugin.icefall", command, "--recipe", self.case.recipe]
        return self(*base, *words, check=check)

    def train(self, exp_dir: str, *words: object, omni: tuple = (), check: bool = True):
        """Train a supernet for an epoch, or as said; ``omni`` are options of the plugin."""
        omni = omni or self.case.omni
        own = [*self.case.train, "--exp-dir", exp_dir, *words]
        return self.omni("train", *omni, "--", *own, check=check)

    def load(self, path: str) -> dict:
        """A checkpoint in the folder."""
        return load_any(self.folder / path)
