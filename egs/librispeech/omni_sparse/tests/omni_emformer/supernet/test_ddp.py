# SPDX-License-Identifier: Apache-2.0
"""Supernet training by two gloo processes on one CPU, through the real trainer."""

import pytest
import torch

from emformer.experiment.checkpoint import load_checkpoint
from tests.omni_emformer.supernet.ddp_run import WAYS
from tests.support.ranks import read_ranks, torchrun, without_gpu
from tests.support.supernets import settings, trainer
from tests.support.training import words, write_config

pytestmark = without_gpu
every_way = pytest.mark.parametrize("name", WAYS)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("ddp") / "tiny.yaml"
    return write_config(path, num_epochs=1, max_duration=9)


@pytest.fixture(scope="module")
def out(tmp_path_factory, tiny_data, config):
    out = tmp_path_factory.mktemp("ranks")
    torchrun("tests.omni_emformer.supernet.ddp_run", out, *words(tiny_data, config, out))
    return out


@pytest.fixture(scope="module")
def ranks(out) -> list[dict]:
    """What both ranks wrote."""
    return read_ranks(out)


@every_way
def test_both_ranks_end_with_equal_weights(ranks, name):
    one, other = (rank[name] for rank in ranks)
    assert one["updates"] == other["updates"] > 4 and one["skipped"] == 0
    for part in ("weights", "ranks"):
        for key, value in one[part].items():
            assert torch.equal(value, other[part][key]), key


@pytest.mark.parametrize("name", [name for name in WAYS if name != "per-rank"])
def test_both_ranks_draw_the_same_sub_networks(ranks, name):
    one, other = (rank[name]["drawn"] for rank in ranks)
    assert one == other
    assert len({str(update) for update in one}) > 2


def test_per_rank_draws_differ(ranks):
    one, other = (rank["per-rank"]["drawn"] for rank in ranks)
    assert len(one) == len(other)
    different = sum(a != b for a, b in zip(one, other, strict=True))
    # Both dense with probability 0.3^2, both sparsest with 0.2^2; the first update is dense.
    assert different >= len(one) // 2


@every_way
def test_draws_are_those_of_a_process_alone(ranks, name, config, tiny_data, tmp_path):
    """Functions of seed and update, whatever the number of processes."""
    omni = trainer(tiny_data, config, tmp_path, **WAYS[name]).method.omni
    # Two processes halve the updates.
    omni.total_updates = omni.sampler.total_updates = ranks[0][name]["updates"]
    for update, drawn in enumerate(ranks[0][name]["drawn"]):
        assert [list(one.subnet.levels) for one in omni.passes(update)] == drawn


@every_way
def test_the_checkpoint_is_that_of_a_model_of_its_own(out, ranks, name):
    state = load_checkpoint(out / name / "epoch-1.pt")
    assert state["world_size"] == 2
    assert state["method"]["settings"] == settings(**WAYS[name]).to_dict()
    assert list(state["model"]) == list(ranks[0][name]["weights"])
    for key, value in ranks[0][name]["weights"].items():
        assert torch.equal(state["model"][key], value), key
