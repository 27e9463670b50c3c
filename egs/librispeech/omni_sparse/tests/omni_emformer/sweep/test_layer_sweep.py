# SPDX-License-Identifier: Apache-2.0
"""A system of fewer layers from its file to results, by the command lines."""

import pytest
import yaml

from emformer.scoring.results import read_results
from omni_emformer.sweep import __main__ as sweep
from tests.support.layer_trainings import LAYERS
from tests.support.processes import run_module
from tests.support.training import words, write_config


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory, tiny_data):
    root = tmp_path_factory.mktemp("sweep")
    config = write_config(root / "tiny.yaml", num_epochs=1)
    system = root / "fewer.yaml"
    system.write_text(yaml.safe_dump({"layers": LAYERS}))
    options = words(tiny_data, config, root / "exp", "--system", str(system))
    run_module("omni_emformer.train", *options)
    return root / "exp"


def swept(exp_dir, data, *more: str) -> list[tuple[str, str, str]]:
    where = ["--exp-dir", str(exp_dir), "--data-dir", str(data), "--splits", "test-clean"]
    sweep.main([*where, *more])
    return [(r.system, r.subnet, r.mode) for r in read_results(exp_dir / "results.jsonl")]


def test_all_sizes_are_decoded_and_none_twice(exp_dir, tiny_data):
    one = swept(exp_dir, tiny_data, "--subnets", "units-1", "--modes", "simulated", "chunk-wise")
    assert one == [("fewer", "units-1", "simulated"), ("fewer", "units-1", "chunk-wise")]
    expected = [("fewer", size, "chunk-wise") for size in ("dense", "units-2")]
    assert swept(exp_dir, tiny_data) == one + expected
    params = {r.subnet: r.num_params for r in read_results(exp_dir / "results.jsonl")}
    assert params["dense"] > params["units-2"] > params["units-1"]
