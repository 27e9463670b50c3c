# SPDX-License-Identifier: Apache-2.0
"""Two processes on one CPU, as torchrun starts them."""

import pytest
import torch

from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from tests.support.ranks import read_ranks, torchrun, without_gpu
from tests.support.training import trainer, words, write_config

pytestmark = without_gpu


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("ddp") / "tiny.yaml"
    return write_config(path, num_epochs=1, max_duration=9)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, tiny_data, config):
    """What both ranks wrote; rank 1's loss of update 2 (from 0) is not a number."""
    out = tmp_path_factory.mktemp("ranks")
    options = words(tiny_data, config, out / "exp")
    torchrun("tests.emformer.training.ddp_run", out, "1:2", *options)
    return read_ranks(out)


def test_both_ranks_end_with_equal_weights(ranks):
    for name, value in ranks[0]["model"].items():
        assert torch.equal(value, ranks[1]["model"][name]), name


def test_the_ranks_see_different_batches(ranks):
    one, other = (rank["seen"].tolist() for rank in ranks)
    assert len(one) == len(other) > 4
    # The epoch's last batch is shared out; of a single cut, each rank gets a copy.
    assert not set(one[:-1]) & set(other[:-1])


def test_one_ranks_bad_loss_is_skipped_on_both(ranks):
    for rank in ranks:
        assert rank["skipped"] == 1
        assert torch.equal(rank["weights"][2], rank["weights"][3])
        assert not torch.equal(rank["weights"][3], rank["weights"][4])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_data, config):
    """The exp folder of train.py under torchrun."""
    exp_dir = tmp_path_factory.mktemp("train") / "exp"
    torchrun("emformer.train", *words(tiny_data, config, exp_dir, "--scan-oom", "true"))
    return exp_dir


def test_training_on_two_processes_halves_the_updates(trained, tiny_data, config, tmp_path):
    alone = trainer(tiny_data, config, tmp_path)
    state = load_checkpoint(trained / "epoch-1.pt")
    assert state["world_size"] == 2
    assert abs(2 * state["update"] - alone.updates_per_epoch) <= 2


def test_going_on_with_another_number_of_processes_is_refused(trained, tiny_data, config):
    with pytest.raises(RecipeError, match="trained by 2 processes, now 1; use as many"):
        trainer(tiny_data, config, trained)


def test_the_experiments_script_starts_as_many_processes(trained):
    script = (trained / "run.sh").read_text()
    launcher = "-m torch.distributed.run --standalone --nproc_per_node 2"
    assert f"{launcher} -m emformer.train --data-dir" in script
