# SPDX-License-Identifier: Apache-2.0
"""Installs a package as pip does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.runtime.layers import COMPILER


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
