# SPDX-License-Identifier: Apache-2.0
"""Rankings: refreshed, frozen, saved and restored, and made from averaged weights."""

import copy
import io

import pytest
import torch

from omni_plugin.errors import OmniError
from omni_plugin.supernet import SuperNet
from tests.support.torch_models import mixed, tokens

PATTERNS = ["8x1", "1x1", "4x2", "2:4"]
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def change(model: torch.nn.Module, seed: int = 1) -> None:
    """Move all weights far, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@every_pattern
def test_a_refresh_ranks_by_the_dense_weights_as_they_are_now(pattern):
    supernet = SuperNet(mixed(), pattern)
    change(supernet.model)
    supernet.refresh_ranks()
    assert same(supernet.ranks(), SuperNet(supernet.model, pattern).ranks())


def test_pruned_weights_come_back_when_they_have_grown():
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(0.5)
    weight, pruned = supernet.model.linear.weight, supernet.mask()["linear.weight"] == 0
    with torch.no_grad():
        weight[pruned] *= 1000
    supernet.refresh_ranks()
    assert torch.equal(supernet.mask()["linear.weight"] == 0, ~pruned)
    assert torch.equal(supernet(tokens()), supernet.baked_model()(tokens()))


@every_pattern
def test_a_frozen_ranking_survives_changed_weights(pattern):
    supernet = SuperNet(mixed(), pattern)
    supernet.set_active_subnet(0.5)
    before = supernet.mask()
    change(supernet.model)
    supernet(tokens()).sum().backward()
    supernet.set_active_subnet(0.25)
    supernet.set_active_subnet(0.5)
    assert same(supernet.mask(), before)
    assert same({name: (v != 0).float() for name, v in supernet.bake().items() if name in before},
                before)  # fmt: skip
    # The values are those of now.
    assert torch.equal(supernet(tokens()), supernet.baked_model()(tokens()))


@every_pattern
def test_rankings_are_saved_and_restored_exactly(pattern):
    supernet = SuperNet(mixed(), pattern)
    change(supernet.model, 1)
    supernet.refresh_ranks()
    file = io.BytesIO()
    torch.save(supernet.ranks(), file)
    file.seek(0)
    change(supernet.model, 2)
    other = SuperNet(copy.deepcopy(supernet.model), pattern)
    assert not same(other.ranks(), supernet.ranks())
    other.set_active_subnet(0.5)
    other(tokens())  # a mask of the old ranking is in use
    other.set_ranks(torch.load(file))
    assert same(other.ranks(), supernet.ranks())
    supernet.set_active_subnet(0.5)
    assert torch.equal(other(tokens()), supernet(tokens()))


def test_restored_rankings_are_copies():
    supernet = SuperNet(mixed())
    ranks = {name: rank.clone() for name, rank in supernet.ranks().items()}
    supernet.set_ranks(ranks)
    for rank in ranks.values():
        rank.zero_()
    assert all(rank.any() for rank in supernet.ranks().values())


def test_rankings_that_were_asked_for_are_left_by_a_refresh():
    supernet = SuperNet(mixed())
    ranks = supernet.ranks()
    before = {name: rank.clone() for name, rank in ranks.items()}
    change(supernet.model)
    supernet.refresh_ranks()
    assert same(ranks, before)


def refusal(supernet: SuperNet, ranks: dict) -> str:
    before = {name: rank.clone() for name, rank in supernet.ranks().items()}
    with pytest.raises(OmniError) as error:
        supernet.set_ranks(ranks)
    assert same(supernet.ranks(), before)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_rankings_that_lack_a_weight_are_refused_by_its_name():
    ranks = SuperNet(mixed(), exclude=("conv1d",)).ranks()
    message = refusal(SuperNet(mixed()), ranks)
    assert "another coverage: they lack weight conv1d.weight" in message


def test_rankings_with_an_unknown_weight_are_refused_by_its_name():
    message = refusal(SuperNet(mixed(), exclude=("conv1d",)), SuperNet(mixed()).ranks())
    assert "another coverage: they have an unknown weight conv1d.weight" in message


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("other", PATTERNS)
def test_rankings_of_another_pattern_are_refused(pattern, other):
    supernet, ranks = SuperNet(mixed(), pattern), SuperNet(mixed(), other).ranks()
    if pattern == other:
        supernet.set_ranks(ranks)
    else:
        message = refusal(supernet, ranks)
        assert message.startswith("linear.weight: rankings of shape")
        assert f"do not belong to pattern {pattern}" in message


@pytest.mark.parametrize("gradients", [True, False])
def test_a_refresh_while_masked_is_open_counts_from_the_next_time_on(gradients):
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(0.5)
    with torch.set_grad_enabled(gradients), supernet.masked() as model:
        zeros = model.linear.weight == 0
        with torch.no_grad():
            next(model.linear.parameters()).neg_().add_(1.0)
        supernet.refresh_ranks()
        assert torch.equal(model.linear.weight == 0, zeros)
    assert not torch.equal(supernet.bake()["linear.weight"] == 0, zeros)
    assert torch.equal(supernet(tokens()), supernet.baked_model()(tokens()))


def mean_of(states: list[dict]) -> dict:
    """As icefall's average_checkpoints: the plain mean, whole numbers divided as such."""
    mean = {}
    for name, first in states[0].items():
        total = sum(state[name] for state in states[1:]) + first
        mean[name] = total / len(states) if total.is_floating_point() else total // len(states)
    return mean


def running_mean(mean: dict, now: dict, share: float) -> None:
    """As icefall's update_averaged_model, in place."""
    for name, value in mean.items():
        if value.is_floating_point():
            value.mul_(1 - share).add_(now[name].to(value.dtype), alpha=share)


@every_pattern
def test_masks_are_made_from_averaged_weights(pattern):
    supernet = SuperNet(mixed(), pattern)
    optimizer = torch.optim.Adam(supernet.parameters(), lr=0.05)
    states = []
    for level in (0.0, 0.5, 0.25):
        supernet.set_active_subnet(level)
        optimizer.zero_grad()
        supernet(tokens()).square().mean().backward()
        optimizer.step()
        states.append(copy.deepcopy(supernet.model.state_dict()))
    averaged = mixed()
    averaged.load_state_dict(mean_of(states), strict=True)
    fresh = SuperNet(averaged, pattern)
    # The mean of weights has no zeros of its own; the baked one has exactly the level's.
    for name in fresh.layer_names:
        assert averaged.get_parameter(name).all()
        assert int((fresh.bake(0.5)[name] == 0).sum()) == averaged.get_parameter(name).numel() / 2
    # A supernet that goes on with these weights has the same masks after a refresh.
    supernet.model.load_state_dict(averaged.state_dict())
    supernet.refresh_ranks()
    assert same(supernet.mask(0.5), fresh.mask(0.5))
    assert same(supernet.bake(0.5), fresh.bake(0.5))


def test_a_running_mean_of_the_model_in_float64_stays_dense():
    supernet = SuperNet(mixed())
    mean_model = copy.deepcopy(supernet.model).to(torch.float64)
    by_hand = [p.detach().double() for p in supernet.model.parameters()]
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    for step in range(1, 4):
        supernet.set_active_subnet(0.5)
        optimizer.zero_grad()
        supernet(tokens(step)).square().mean().backward()
        optimizer.step()
        running_mean(mean_model.state_dict(), supernet.model.state_dict(), 1 / (step + 1))
        for i, parameter in enumerate(supernet.model.parameters()):
            by_hand[i] = by_hand[i] * (1 - 1 / (step + 1)) + parameter.detach() / (step + 1)
    for found, expected in zip(mean_model.parameters(), by_hand, strict=True):
        torch.testing.assert_close(found.detach(), expected)
    assert all(mean_model.get_parameter(name).all() for name in supernet.layer_names)
    averaged = SuperNet(mean_model.float())
    averaged.set_active_subnet(0.5)
    assert torch.equal(averaged(tokens()), averaged.baked_model()(tokens()))
