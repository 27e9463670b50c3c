# SPDX-License-Identifier: Apache-2.0
"""A tiny corpus made by the recipe's own data stages, once a session."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[1]


def run_module(*words: str, check: bool = True, **options) -> subprocess.CompletedProcess:
    """Run ``python3 -m ...`` from the recipe's folder; ``stdout`` and ``stderr`` are kept."""
    env = {**os.environ, "PYTHONPATH": str(RECIPE)}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(
        command, cwd=RECIPE, env=env, capture_output=True, text=True, check=False, **options
    )
    if check and done.returncode:
        raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def torchrun(module: str, *options: str) -> str:
    """Run a module in two processes on one CPU; returns what they wrote to stderr."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc_per_node", "2", "-m", module, *options],
        cwd=RECIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def torchaudio_or_skip(module: str):
    """A module of torchaudio; skips loudly where its compiled part does not fit the torch."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as e:
        pytest.skip(f"{module.upper()} IS MISSING: {str(e).splitlines()[0]}")


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


TINY_CONFIG = """
model:
  encoder_dim: 16
  num_heads: 2
  ffn_dim: 32
  num_layers: 2
  dropout: 0.1
  segment: 4
  right_context: 1
  left_context: 8
  decoder_dim: 16
  joiner_dim: 16
training:
  num_epochs: 2
  max_duration: 16
  average_period: 2
  save_every_n: 5
  keep_last_k: 3
  valid_interval: 1000
  log_interval: 2
  num_workers: 0
  num_buckets: 2
"""


@pytest.fixture
def tiny_config(tmp_path) -> Path:
    """A configuration that trains in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_CONFIG)
    return path
