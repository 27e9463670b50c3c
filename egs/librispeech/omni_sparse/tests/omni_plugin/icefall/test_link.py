# SPDX-License-Identifier: Apache-2.0
"""install.sh --link-into."""

import subprocess
from pathlib import Path

import pytest

from tests.support.processes import RECIPE


@pytest.fixture
def checkout(tmp_path) -> Path:
    for folder in ("icefall", "egs/librispeech/ASR/data/fbank"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "icefall/__init__.py").touch()
    return tmp_path


def link_into(folder: Path) -> subprocess.CompletedProcess:
    command = [RECIPE / "install.sh", "--link-into", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_recipe_stands_beside_asr(checkout):
    done = link_into(checkout)
    assert done.returncode == 0, done.stderr
    tasks = checkout / "egs/librispeech"
    link = tasks / "omni_sparse"
    assert link.resolve() == RECIPE.resolve() and f"--data-dir {tasks}/ASR/data" in done.stdout
    # From there, install.sh finds its own repository, and does nothing a second time.
    again = subprocess.run(
        [link / "install.sh", "--link-into", checkout], capture_output=True, check=False
    )
    assert again.returncode == 0 and link.resolve() == RECIPE.resolve()


def test_what_is_there_is_not_replaced(checkout):
    (checkout / "egs/librispeech/omni_sparse").mkdir()
    done = link_into(checkout)
    assert done.returncode == 1 and "exists: move it away first" in done.stderr


def test_another_folder_is_refused(tmp_path):
    done = link_into(tmp_path)
    assert done.returncode == 1 and "no icefall checkout" in done.stderr
