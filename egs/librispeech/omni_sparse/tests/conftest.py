# SPDX-License-Identifier: Apache-2.0
"""A tiny corpus made by the recipe's own data stages, once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import run_module
from tests.support.tiny_config import TINY_CONFIG


@pytest.fixture(scope="module")
def one_thread():
    """The order of a sum depends on the number of threads, and with it the last bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """The folder of a corpus `synthetic` with 64 training utterances, features and a BPE model."""
    data = tmp_path_factory.mktemp("tiny") / "data"
    sizes = [f"--num-{name}" for name in ("dev=12", "test=12", "search=12", "train=64")]
    run_module("local.prepare_synthetic", "--data-dir", str(data), *sizes)
    run_module("local.prepare_synthetic_manifests", "--data-dir", str(data))
    options = ["--corpus", "synthetic", "--data-dir", str(data)]
    run_module("local.compute_fbank", *options, "--nj", "1")
    run_module("local.train_bpe_model", *options, "--vocab-size", "64")
    return data


@pytest.fixture
def tiny_config(tmp_path) -> Path:
    """A configuration that trains in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_CONFIG)
    return path
