# SPDX-License-Identifier: Apache-2.0
"""The package as pip installs it, once a session; its library is used for all tests of the room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from omni_recognizer.library import CLibrary
from tests.support.processes import RECIPE
from tests.support.runtime.layers import COMPILER
from tests.support.runtime.transducers import Made, pack_kind

_FOLDERS = "omni_recognizer", "omni_runtime", "omni_plugin/runtime", "omni_emformer/runtime"
_LEFT = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", "*.so")


def pip_install(source: Path, target: Path, **variables: str) -> subprocess.CompletedProcess:
    """Install from a folder or an sdist into a folder, without network."""
    # Not looked for in this process, where setuptools would then leave distutils to Python.
    if subprocess.run([sys.executable, "-m", "pip", "--version"], check=False).returncode:
        pytest.skip("pip is missing")
    if shutil.which(COMPILER[0]) is None:
        pytest.skip(f"NO {COMPILER[0]}: the package is not tested")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--no-index", "--target", target, source]
    env = {**os.environ, "CC": " ".join(COMPILER), **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


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
