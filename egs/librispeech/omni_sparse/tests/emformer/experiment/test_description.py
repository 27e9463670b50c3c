# SPDX-License-Identifier: Apache-2.0
"""What an experiment's folder tells is read as it was written; what it does not tell is empty."""

from __future__ import annotations

import json
import shlex
import sys

import pytest
import torch

from emformer.config import load_config
from emformer.experiment.description import (
    describe_experiment,
    read_environment,
    training_command,
)


@pytest.fixture
def config(tiny_config):
    return load_config(tiny_config)


def test_versions_are_read_as_they_were_written(tmp_path, config):
    describe_experiment(tmp_path, config)
    found = read_environment(tmp_path)
    assert found["torch"] == torch.__version__.partition("+")[0]
    assert found["python"] == sys.version.split()[0]


def test_a_revision_that_was_not_known_is_left_out(tmp_path):
    (tmp_path / "environment.json").write_text(json.dumps({"git_revision": None, "torch": "2"}))
    assert read_environment(tmp_path) == {"torch": "2"}


@pytest.mark.parametrize("content", [None, "", "{", "[]", "3"])
def test_no_or_a_damaged_environment_is_empty(tmp_path, content):
    if content is not None:
        (tmp_path / "environment.json").write_text(content)
    assert read_environment(tmp_path) == {}


def test_the_command_is_that_of_the_training(tmp_path, config, monkeypatch):
    words = ["train", "--exp-dir", "a folder", "--seed", "3"]
    monkeypatch.setattr(sys, "argv", words)
    describe_experiment(tmp_path, config)
    (found,) = training_command(tmp_path)
    assert shlex.split(found)[0] == "python3" and shlex.split(found)[-4:] == words[1:]


@pytest.mark.parametrize("content", [None, "", "python3 'not closed"])
def test_no_or_a_damaged_script_has_no_command(tmp_path, content):
    if content is not None:
        (tmp_path / "run.sh").write_text(content)
    assert training_command(tmp_path) == []


def test_what_chooses_the_kernels_is_told_and_set_again(tmp_path, config, monkeypatch):
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "5")
    monkeypatch.delenv("MKL_CBWR", raising=False)
    describe_experiment(tmp_path, config)
    found = read_environment(tmp_path)
    assert found["MKL_DEBUG_CPU_TYPE"] == "5" and found["CPU"] and "MKL_CBWR" not in found
    assert "export MKL_DEBUG_CPU_TYPE=5\n" in (tmp_path / "run.sh").read_text()
