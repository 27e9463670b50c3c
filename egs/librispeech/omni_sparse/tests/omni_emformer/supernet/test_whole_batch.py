# SPDX-License-Identifier: Apache-2.0
"""Two gloo processes with half a batch each against one with all of it, by the real trainer."""

import pytest
import torch

from emformer.training.distributed import Processes
from tests.omni_emformer.supernet.whole_batch_run import WAYS, train
from tests.support.ranks import read_ranks, torchrun, without_gpu
from tests.support.training import words, write_config

pytestmark = without_gpu


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Without what is a rank's own: dropout, and the smoothing by means over its batch."""
    path = tmp_path_factory.mktemp("whole") / "tiny.yaml"
    return write_config(path, dropout=0.0, num_epochs=1, lm_scale=0.0, am_scale=0.0)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, tiny_data, config) -> list[dict]:
    out = tmp_path_factory.mktemp("ranks")
    run = "tests.omni_emformer.supernet.whole_batch_run"
    torchrun(run, out, *words(tiny_data, config, out))
    return read_ranks(out)


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_learn_what_one_does(ranks, way, tiny_data, config, tmp_path):
    alone = train(words(tiny_data, config, tmp_path), Processes(0, 0, 1), way)
    far = apart = 0.0
    for name, start in alone["start"].items():
        assert torch.equal(start, ranks[0][way]["start"][name]), name
        far += float((alone["end"][name] - start).square().sum())
        apart += float((alone["end"][name] - ranks[0][way]["end"][name]).square().sum())
    assert apart**0.5 < 1e-4 * far**0.5
