# SPDX-License-Identifier: Apache-2.0
"""Recipes to run: the stand-in, and where ICEFALL_ROOT is set, the real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.omni_plugin.icefall.cases import REAL, STAND_IN, Case, real_data
from tests.support.processes import RECIPE

# Imported by the recipe's own scripts only; its modules are called train, model, ...
collect_ignore_glob = ["standin/*"]


def case_ids() -> list[str]:
    return [STAND_IN.name, *(REAL if os.environ.get("ICEFALL_ROOT") else ())]


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
        self.env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(roots),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def __call__(self, *words: object, check: bool = True) -> subprocess.CompletedProcess:
        """Run python with these arguments; fails with its output unless told not to."""
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def omni(self, command: str, *words: object, check: bool = True):
        base = ["-m", "omni_plugin.icefall", command, "--recipe", self.case.recipe]
        return self(*base, *words, check=check)

    def train(self, exp_dir: str, *words: object, omni: tuple = (), check: bool = True):
        """Train a supernet for an epoch, or as said; ``omni`` are options of the plugin."""
        omni = omni or self.case.omni
        own = [*self.case.train, "--exp-dir", exp_dir, *words]
        return self.omni("train", *omni, "--", *own, check=check)

    def load(self, path: str) -> dict:
        from omni_plugin.icefall.source import load_any

        return load_any(self.folder / path)


@pytest.fixture(scope="session", params=case_ids())
def runner(request, tmp_path_factory) -> Runner:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == STAND_IN.name:
        return Runner(STAND_IN, folder)
    real_data(folder, request.getfixturevalue("tiny_data"))
    return Runner(REAL[request.param], folder)


@pytest.fixture(scope="session")
def trained(runner) -> Runner:
    """Two epochs of a supernet are in ``exp``."""
    runner.said = runner.train("exp", "--num-epochs", 2).stderr
    return runner


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory) -> Runner:
    """The stand-in alone, for what does not depend on the recipe."""
    return Runner(STAND_IN, tmp_path_factory.mktemp("stand_in"))
