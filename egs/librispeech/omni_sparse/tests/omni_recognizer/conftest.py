# SPDX-License-Identifier: Apache-2.0
"""The package as pip installs it, once a session; its library is used for all tests of the room."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from omni_recognizer.library import CLibrary
from tests.support.pip_install import pip_install
from tests.support.processes import RECIPE
from tests.support.runtime.transducers import Made, pack_kind

_FOLDERS = "omni_recognizer", "omni_runtime", "omni_plugin/runtime", "omni_emformer/runtime"
_LEFT = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", "*.so")


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    """A copy of what the package is made of, in which builds leave their traces."""
    folder = tmp_path_factory.mktemp("clone")
    for name in _FOLDERS:
        shutil.copytree(RECIPE / name, folder / name, ignore=_LEFT)
    return folder


@pytest.fixture(scope="session")
def installed(clone, tmp_path_factory) -> Path:
    """The folder that ``pip install`` fills."""
    target = tmp_path_factory.mktemp("target")
    done = pip_install(clone / "omni_recognizer", target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="session")
def library(installed) -> CLibrary:
    return CLibrary(installed / "omni_recognizer" / "libomni_runtime.so")


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    """A packed file of random weights that says something, and pauses."""
    return pack_kind(tmp_path_factory.mktemp("packed") / "p.packed", "demo", blank=8.0)
