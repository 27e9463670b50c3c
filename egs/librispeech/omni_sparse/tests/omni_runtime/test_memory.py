# SPDX-License-Identifier: Apache-2.0
"""What a file takes in memory. Linux tells it."""

import numpy as np
import pytest
import torch

from benchmarks.whole_path import memory_of, pack
from emformer.config import load_config
from emformer.model import make_model
from omni_emformer.benchmark.resident import is_told
from tests.support.processes import RECIPE


@pytest.mark.skipif(not is_told(), reason="the system does not tell")
def test_a_file_and_the_level_that_is_run_are_not_in_memory_twice(built, tmp_path, monkeypatch):
    monkeypatch.chdir(RECIPE)
    path, config = tmp_path / "demo.packed", "conf/demo.yaml"
    torch.manual_seed(0)
    model = make_model(load_config(config).model, 128).eval()
    pack(model, 0.0, "float32", config, np.zeros(16000, np.float32), path)
    assert memory_of(path, built / "libomni_runtime.so") < 1.5 * path.stat().st_size
