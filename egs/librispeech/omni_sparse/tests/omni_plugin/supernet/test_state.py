# SPDX-License-Identifier: Apache-2.0
"""What a supernet leaves alone: parameters, state dict, optimizers, memory."""

import gc
import pickle

import pytest
import torch

from omni_plugin.errors import OmniError
from omni_plugin.supernet import SuperNet
from tests.support.torch_models import mixed, tokens, used


def train_step(supernet: SuperNet, optimizer: torch.optim.Optimizer, level: float) -> None:
    supernet.set_active_subnet(level)
    optimizer.zero_grad()
    supernet(tokens()).square().mean().backward()
    optimizer.step()


def stored_bytes(supernet: SuperNet) -> int:
    """Bytes of all tensors that the supernet reaches beside the model's own."""
    own = {id(p) for p in supernet.model.parameters()}
    layers = [vars(layer).values() for layer in supernet._layers]
    tensors = [v for values in layers for v in values if isinstance(v, torch.Tensor)]
    return sum(t.numel() * t.element_size() for t in tensors if id(t) not in own)


def test_parameters_stay_the_same_objects_in_the_same_order():
    model = mixed()
    before = [(name, id(p)) for name, p in model.named_parameters()]
    supernet = SuperNet(model)
    optimizer = torch.optim.Adam(model.parameters())
    for level in (0.0, 0.9, 0.5):
        train_step(supernet, optimizer, level)
    assert [(name, id(p)) for name, p in model.named_parameters()] == before
    assert [id(p) for p in supernet.parameters()] == [number for _, number in before]
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [number for _, number in before]


def test_while_masked_is_open_the_parameters_are_still_the_dense_ones():
    model = mixed()
    supernet = SuperNet(model)
    supernet.set_active_subnet(0.5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with supernet.masked():
        assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_an_optimizer_trains_the_dense_weights_and_leaves_pruned_ones():
    supernet = used(0.5)
    dense = supernet.model.linear.weight
    before, mask = dense.detach().clone(), supernet.mask()["linear.weight"]
    train_step(supernet, torch.optim.SGD(supernet.parameters(), lr=0.1), 0.5)
    assert torch.equal(dense[mask == 0], before[mask == 0])
    assert not torch.equal(dense[mask == 1], before[mask == 1])
    assert (dense[mask == 0] != 0).any()


def test_the_state_dict_has_exactly_the_models_keys():
    keys = list(mixed().state_dict())
    supernet = used()
    assert list(supernet.model.state_dict()) == keys
    assert list(supernet.state_dict()) == [f"model.{key}" for key in keys]
    assert list(supernet.bake()) == keys
    assert not list(supernet.buffers())


def test_the_model_has_no_attribute_more_than_before():
    before = [set(vars(module)) for module in mixed().modules()]
    assert [set(vars(module)) for module in used().model.modules()] == before


def test_the_models_state_loads_into_a_bare_model():
    supernet, bare = used(), mixed()
    bare.load_state_dict(supernet.model.state_dict(), strict=True)
    supernet.set_active_subnet("dense")
    assert torch.equal(bare(tokens()), supernet(tokens()))


def test_masks_are_taken_away_after_an_exception_inside():
    supernet = used(0.5)
    model = supernet.model
    with pytest.raises(KeyError), supernet.masked():
        raise KeyError
    assert torch.equal(model(tokens()), mixed()(tokens()))
    supernet.set_active_subnet(0.7)  # not thought to be open


def test_masks_are_taken_away_after_a_forward_that_fails():
    supernet = used(0.5)
    with pytest.raises(IndexError):
        supernet(tokens() + 1000)
    assert torch.equal(supernet.model(tokens()), mixed()(tokens()))


def test_nested_masked_is_one():
    supernet = used(0.5)
    expected, weight = supernet.baked_model()(tokens()), supernet.model.linear.weight
    with supernet.masked() as model:
        with supernet.masked() as again:
            assert again is model
            assert torch.equal(supernet(tokens()), expected)
        assert model.linear.weight is not weight
        assert torch.equal(model(tokens()), expected)
    assert model.linear.weight is weight


def test_any_method_of_the_model_may_be_called_while_masked_is_open():
    supernet = used(0.5)
    baked = supernet.baked_model()
    with torch.no_grad(), supernet.masked() as model:
        assert torch.equal(model.scaled.get_weight(), baked.scaled.get_weight())
        for seed in range(3):  # as chunks of a stream
            assert torch.equal(model(tokens(seed)), baked(tokens(seed)))


def test_switching_while_masked_is_open_is_refused():
    supernet = used(0.5)
    with supernet.masked(), pytest.raises(OmniError, match="masked.* is open; close it first"):
        supernet.set_active_subnet(0.7)
    assert supernet.get_active_subnet().name == "0.50"


def test_copying_a_sub_network_while_masked_is_open_is_refused():
    supernet = used(0.5)
    with torch.no_grad(), supernet.masked(), pytest.raises(OmniError, match="is open; close it"):
        supernet.baked_model(0.7)


def test_baking_while_masked_is_open_bakes_the_dense_weights():
    supernet = used(0.5)
    expected = supernet.bake(0.2)
    with supernet.masked():
        found = supernet.bake(0.2)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_switching_many_times_keeps_nothing():
    supernet = used()
    levels = [0.0, 0.1, 0.3, 0.7, 0.9]

    def switch_often() -> tuple[int, int]:
        for level in [*levels, 0.5]:
            supernet.set_active_subnet(level)
            supernet(tokens())
            with torch.no_grad():
                supernet(tokens())
        gc.collect()
        tensors = sum(type(o) is torch.Tensor for o in gc.get_objects())
        return tensors, stored_bytes(supernet)

    first = switch_often()
    assert first[0] > len(supernet.layer_names)
    for _ in range(2):
        assert switch_often() == first


def test_the_rankings_and_a_mask_cost_a_byte_a_weight_at_8x1():
    supernet = SuperNet(mixed())
    weights = sum(supernet.layer_sizes)
    assert stored_bytes(supernet) == weights / 2
    supernet.set_active_subnet(0.5)
    supernet(tokens())
    assert stored_bytes(supernet) == weights / 2 + weights / 8 * 4


@pytest.mark.parametrize("first, then", [(torch.inference_mode, torch.enable_grad)] * 1 + [
    (torch.inference_mode, torch.no_grad),
    (torch.no_grad, torch.inference_mode),
    (torch.no_grad, torch.enable_grad),
])  # fmt: skip
def test_a_sub_network_may_be_run_in_one_mode_after_another(first, then):
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(0.5)
    baked = supernet.baked_model()
    for mode in (first, then, first):
        with mode():
            out = supernet(tokens())
            assert torch.equal(out, baked(tokens()))
        if mode is torch.enable_grad:
            out.sum().backward()


def test_a_replaced_parameter_is_refused_by_name():
    model = torch.nn.Linear(4, 8)
    supernet = SuperNet(model)
    model.weight = torch.nn.Parameter(torch.zeros(8, 4))
    with pytest.raises(OmniError, match="^weight: the parameter was replaced"):
        supernet(torch.zeros(1, 4))


def test_a_pickle_holds_no_masked_copy():
    supernet = SuperNet(torch.nn.Linear(64, 64))
    before = len(pickle.dumps(supernet))
    supernet.set_active_subnet(0.5)
    with torch.no_grad():
        supernet(torch.zeros(1, 64))
    masks = 8 * 64 * 4
    assert len(pickle.dumps(supernet)) < before + 2 * masks
