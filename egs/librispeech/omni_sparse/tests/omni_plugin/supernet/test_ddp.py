# SPDX-License-Identifier: Apache-2.0
"""Two gloo processes on one CPU, as torchrun starts them."""

import pytest
import torch

from omni_plugin.supernet import SuperNet
from tests.omni_plugin.supernet.ddp_run import EQUAL, OWN, SAMPLERS, UPDATES, draws, loss_of
from tests.support.ranks import read_ranks, torchrun
from tests.support.torch_models import mixed, tokens

WAYS = [
    f"{name} quiet={quiet} unused={unused}"
    for name in ("equal", "own")
    for quiet in (False, True)
    for unused in (False, True)
]
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    """What both ranks wrote."""
    out = tmp_path_factory.mktemp("ranks")
    torchrun("tests.omni_plugin.supernet.ddp_run", out)
    return read_ranks(out)


@pytest.fixture(scope="module")
def alone() -> dict[str, dict]:
    """Weights after the same update in one process, by the sub-networks' kind."""
    found = {}
    for name, by_rank in (("equal", EQUAL), ("own", OWN)):
        supernet = SuperNet(mixed())
        optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
        for rank, choices in enumerate(by_rank):
            for choice in choices:
                supernet.set_active_subnet(choice)
                # DDP's gradient is the mean over the ranks.
                (loss_of(supernet(tokens(rank))) / 2).backward()
        optimizer.step()
        found[name] = supernet.model.state_dict()
    return found


@every_way
def test_both_ranks_have_equal_weights_after_the_step(ranks, way):
    one, other = (rank[way] for rank in ranks)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@every_way
def test_the_step_is_that_of_one_process_with_both_batches(ranks, alone, way):
    start = mixed().state_dict()
    for name, expected in alone[way.split()[0]].items():
        torch.testing.assert_close(ranks[0][way][name], expected, atol=1e-7, rtol=1e-5)
        assert not torch.equal(start[name], expected), name


def test_equal_and_own_sub_networks_give_different_steps(alone):
    assert not torch.allclose(alone["equal"]["linear.weight"], alone["own"]["linear.weight"])


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "per-rank"])
def test_draws_are_equal_on_both_ranks(ranks, name):
    assert ranks[0]["draws"][name] == ranks[1]["draws"][name]


def test_per_rank_draws_differ_between_ranks(ranks):
    pairs = list(zip(ranks[0]["draws"]["per-rank"], ranks[1]["draws"]["per-rank"], strict=True))
    assert pairs[0][0] == pairs[0][1]  # dense before the ramp
    different = sum(one != other for one, other in pairs)
    # Both dense with probability 0.3^2, both sparsest with 0.2^2.
    assert different > 0.6 * UPDATES


def test_draws_are_those_of_a_process_on_its_own(ranks):
    for rank in (0, 1):
        assert draws(SuperNet(mixed()), rank) == ranks[rank]["draws"]
