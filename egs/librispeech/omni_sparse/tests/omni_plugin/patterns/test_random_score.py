# SPDX-License-Identifier: Apache-2.0
"""Random rankings: drawn once, nested as others are, and nothing to do with the weights."""

import pytest
import torch
from torch import nn

from omni_plugin import OmniTraining, SparsitySettings
from omni_plugin.patterns import make_pattern

SETTINGS = SparsitySettings(
    pattern="4x1", score="random", refresh_every=1, freeze_from=1.0, max_sparsity=0.75
)


def make(seed: int, settings: SparsitySettings = SETTINGS) -> OmniTraining:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
    return OmniTraining(model, settings, total_updates=10)


def masks(omni: OmniTraining, level: float = 0.5) -> dict[str, torch.Tensor]:
    return omni.supernet.mask(level)


def test_a_ranking_is_drawn_once_however_often_blocks_are_ranked():
    omni = make(0)
    before = masks(omni)
    for update in range(10):
        omni.passes(update)
        with torch.no_grad():
            omni.supernet.model[0].weight.normal_()
    after = masks(omni)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_it_is_a_function_of_the_seed():
    one, same, other = (masks(make(seed))["0.weight"] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_it_has_nothing_to_do_with_the_weights():
    torch.manual_seed(0)
    weight = torch.arange(64.0).repeat(64, 1)  # the last columns are by far the largest
    pattern = make_pattern("4x1", "random")
    keep = pattern.keep(pattern.rank_weight(weight), 0.5).float()
    # 512 of 1024 blocks: 256 of each half, give or take four standard deviations.
    assert int(keep.sum()) == 512
    assert abs(float(keep[:, 32:].sum()) - 256) < 4 * 8
    assert make_pattern("4x1").keep(make_pattern("4x1").rank_weight(weight), 0.5)[:, 32:].all()


@pytest.mark.parametrize("pattern", ["4x1", "8x1", "unstructured", "2:4"])
def test_masks_are_nested_and_their_numbers_exact(pattern):
    settings = SparsitySettings(pattern=pattern, score="random", max_sparsity=0.5, valid_levels=())
    omni = make(0, settings)
    sparse, sparser = masks(omni, 0.25), masks(omni, 0.5)
    for name, mask in sparser.items():
        assert (mask <= sparse[name]).all()
        assert int((mask == 0).sum()) == mask.numel() // 2


def test_layers_of_one_shape_have_rankings_of_their_own():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    found = OmniTraining(model, SETTINGS, total_updates=1).supernet.mask(0.5)
    assert not torch.equal(*found.values())


def test_a_run_that_goes_on_has_the_ranking_of_its_checkpoint():
    before, after = make(0), make(1)
    after.load_state_dict(before.state_dict())
    assert torch.equal(masks(before)["0.weight"], masks(after)["0.weight"])
