# SPDX-License-Identifier: Apache-2.0
"""Recipes to run: the stand-in, and where ICEFALL_ROOT is set, the real ones."""

from __future__ import annotations

import os

import pytest

from tests.support.icefall.cases import REAL, STAND_IN, real_data
from tests.support.icefall.runner import Runner

# Imported by the recipe's own scripts only; its modules are called train, model, ...
collect_ignore_glob = ["standin/*"]


def case_ids() -> list[str]:
    return [STAND_IN.name, *(REAL if os.environ.get("ICEFALL_ROOT") else ())]


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
