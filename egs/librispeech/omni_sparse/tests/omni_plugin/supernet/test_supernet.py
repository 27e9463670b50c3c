# SPDX-License-Identifier: Apache-2.0
"""A sub-network's forward and backward, against weights baked by hand and torch's own ways."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from omni_plugin.supernet import SuperNet
from tests.support.torch_models import (
    FunctionLinear,
    Mixed,
    Tied,
    bake_by_hand,
    mixed,
    tokens,
    vectors,
)

try:
    from torch.func import functional_call
except ImportError:  # torch < 2
    from torch.nn.utils.stateless import functional_call

PATTERNS = ["8x1", "1x1", "4x2", "1x4", "2:4", "3x5"]
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def run(model: nn.Module, owner: nn.Module | None = None):
    """Output of a training pass, and the gradients it gives to the parameters of ``owner``."""
    owner = owner or model
    owner.zero_grad()
    out = model(tokens())
    out.square().mean().backward()
    return out.detach(), gradients(owner)


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


class Times(nn.Module):
    """Multiplies by a mask, as a parametrization."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.mask


@pytest.mark.parametrize("level", [0.0, 0.001], ids=["dense", "a mask of ones"])
def test_pruning_nothing_changes_nothing_forward_and_backward(level):
    bare, supernet = mixed(), SuperNet(mixed())
    supernet.set_active_subnet(level)
    expected, expected_gradients = run(bare)
    found, found_gradients = run(supernet, supernet.model)
    assert torch.equal(found, expected)
    assert_same(found_gradients, expected_gradients)


@every_pattern
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_masked_forward_equals_weights_baked_by_hand(pattern, training, mode):
    supernet, baked = SuperNet(mixed(), pattern).train(training), mixed().train(training)
    supernet.set_active_subnet(0.5)
    bake_by_hand(baked, supernet.mask(0.5))
    with mode():
        assert torch.equal(supernet(tokens()), baked(tokens()))


@every_pattern
def test_bake_gives_what_is_baked_by_hand(pattern):
    supernet, by_hand = SuperNet(mixed(), pattern), mixed()
    bake_by_hand(by_hand, supernet.mask(0.4))
    assert_same(supernet.bake(0.4), by_hand.state_dict())
    assert_same(supernet.baked_model(0.4).state_dict(), by_hand.state_dict())


def test_baked_weights_have_the_mask_of_the_smallest_sums_of_8_outputs():
    model = nn.Linear(6, 16, bias=False)
    supernet = SuperNet(model)
    baked = supernet.bake(0.5)["weight"]
    sums = model.weight.detach().abs().view(2, 8, 6).sum(dim=1)
    smallest = sums.flatten().sort().indices[:6]
    zeros = (baked.view(2, 8, 6) == 0).all(dim=1).flatten()
    assert zeros.nonzero().flatten().tolist() == smallest.sort().values.tolist()


@every_pattern
def test_the_gradients_are_those_of_functional_call(pattern):
    supernet, bare = SuperNet(mixed(), pattern), mixed()
    supernet.set_active_subnet(0.5)
    masks = supernet.mask()
    weights = {name: bare.get_parameter(name) * mask for name, mask in masks.items()}
    functional_call(bare, weights, (tokens(),)).square().mean().backward()
    _, found = run(supernet, supernet.model)
    assert_same(found, gradients(bare))


def test_forward_and_gradients_are_those_of_parametrize():
    supernet, other = SuperNet(mixed()), mixed()
    supernet.set_active_subnet(0.5)
    expected = copy.deepcopy(other)
    for name, mask in supernet.mask().items():
        owner = expected.get_submodule(name.rpartition(".")[0])
        parametrize.register_parametrization(owner, "weight", Times(mask))
    found, found_gradients = run(supernet, supernet.model)
    out, by_name = run(expected)
    assert torch.equal(found, out)
    renamed = {
        n.replace("parametrizations.weight.original", "weight"): g for n, g in by_name.items()
    }
    assert_same(dict(sorted(found_gradients.items())), dict(sorted(renamed.items())))


@every_pattern
def test_pruned_entries_get_no_gradient_and_kept_ones_the_baked_models(pattern):
    supernet = SuperNet(mixed(), pattern)
    supernet.set_active_subnet(0.5)
    masks = supernet.mask()
    _, expected = run(supernet.baked_model())
    _, found = run(supernet, supernet.model)
    for name, gradient in found.items():
        if name in masks:
            assert (masks[name] == 0).any()
            assert not gradient[masks[name] == 0].any(), name
            assert torch.equal(gradient, expected[name] * masks[name]), name
        else:
            assert torch.equal(gradient, expected[name]), name


def test_a_custom_backward_that_runs_after_the_masks_are_gone_still_sees_them():
    supernet = SuperNet(FunctionLinear(16, 16))
    supernet.set_active_subnet(0.5)
    baked = supernet.baked_model()
    ours, theirs = (vectors(3, 16).requires_grad_() for _ in range(2))
    out = supernet(ours)
    assert "weight" not in vars(supernet.model)
    out.square().sum().backward()
    baked(theirs).square().sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_a_shared_weight_gets_the_sum_of_both_places_gradients():
    torch.manual_seed(0)
    supernet = SuperNet(Tied())
    supernet.set_active_subnet(0.5)
    x, baked = vectors(3, 16), supernet.baked_model()
    assert torch.equal(supernet(x), baked(x))
    for model in (supernet, baked):
        model(x).square().sum().backward()
    expected = baked.one.weight.grad * supernet.mask()["one.weight"]
    assert torch.equal(supernet.model.one.weight.grad, expected)


def test_a_shared_weight_is_baked_under_both_names():
    supernet = SuperNet(Tied())
    baked = supernet.bake(0.5)
    assert list(baked) == ["one.weight", "one.bias", "other.weight"]
    assert int((baked["other.weight"] == 0).sum()) == 128
    assert torch.equal(baked["one.weight"], baked["other.weight"])


def test_a_module_at_two_places_is_baked_under_both_names():
    shared = nn.Linear(16, 16)
    supernet = SuperNet(nn.Sequential(shared, nn.ReLU(), shared))
    baked = supernet.bake(0.5)
    assert torch.equal(baked["0.weight"], baked["2.weight"])
    assert int((baked["2.weight"] == 0).sum()) == 128


def test_weights_outside_the_rules_stay_as_they_are():
    supernet = SuperNet(mixed(), include=("linear",))
    dense, baked = supernet.model.state_dict(), supernet.bake(0.5)
    changed = [name for name in dense if not torch.equal(dense[name], baked[name])]
    assert changed == ["linear.weight"]


def test_baking_is_a_copy():
    supernet = SuperNet(mixed())
    before = copy.deepcopy(supernet.model.state_dict())
    for value in supernet.bake(0.5).values():
        value.fill_(7.0)
    assert_same(supernet.model.state_dict(), before)


class WithExtraState(nn.Linear):
    def get_extra_state(self):
        return {"calls": [1, 2]}

    def set_extra_state(self, state):
        self.state = state


def test_extra_state_that_is_no_tensor_is_baked_too():
    baked = SuperNet(WithExtraState(8, 8)).baked_model(0.5)
    assert baked.state == {"calls": [1, 2]}


def test_a_weight_whose_gradient_is_off_is_masked_too():
    supernet = SuperNet(mixed())
    for parameter in supernet.model.parameters():
        parameter.requires_grad_(False)
    supernet.set_active_subnet(0.5)
    assert torch.equal(supernet(tokens()), supernet.baked_model()(tokens()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_moved_to_another_type_is_masked_in_it(dtype):
    model = nn.Linear(16, 16)
    supernet = SuperNet(model)
    supernet.set_active_subnet(0.5)
    supernet(vectors(3, 16))
    supernet.to(dtype)
    x = vectors(3, 16).to(dtype)
    assert torch.equal(supernet(x), supernet.baked_model()(x))
    with torch.no_grad():
        assert supernet(x).dtype == dtype


def test_the_names_of_mixed_are_all_masked():
    supernet = SuperNet(mixed())
    assert list(supernet.mask(0.5)) == list(Mixed.matrices)
    for name, mask in supernet.mask(0.5).items():
        assert int((mask == 0).sum()) == Mixed.matrices[name] // 2
