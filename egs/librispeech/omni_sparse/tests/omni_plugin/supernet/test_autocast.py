# SPDX-License-Identifier: Apache-2.0
"""Sub-networks under bfloat16 autocast, which keeps cast copies of leaf weights for a region."""

import pytest
import torch
from torch import nn

from omni_plugin.supernet import SuperNet
from tests.support.torch_models import Reader, ScaledLinear, vectors

ORDERS = [("dense", 0.5), (0.5, "dense"), (0.5, 0.75), (0.75, 0.5, "dense", 0.75)]
orders = pytest.mark.parametrize("choices", ORDERS, ids=str)
modes = pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])


def make(dim: int = 16) -> SuperNet:
    torch.manual_seed(0)
    layers = [nn.Linear(dim, dim), nn.ReLU(), ScaledLinear(dim, dim), Reader(dim)]
    return SuperNet(nn.Sequential(*layers, nn.Linear(dim, 2 * dim)))


def region():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def apart(supernet: SuperNet, choice) -> tuple[torch.Tensor, dict]:
    """Output and gradients of one sub-network in a region of its own."""
    supernet.zero_grad()
    supernet.set_active_subnet(choice)
    with region():
        out = supernet(vectors(3, 16))
    out.float().square().mean().backward()
    return out.detach(), {name: p.grad.clone() for name, p in supernet.named_parameters()}


def test_a_leaf_weight_that_changes_within_a_region_is_not_seen():
    """The trap: a supernet that writes its masks into the parameters would fall into it."""
    layer, x = nn.Linear(16, 16), vectors(3, 16)
    with region():
        before = layer(x)
        layer.weight.data.zero_()
        assert torch.equal(layer(x), before)


@orders
def test_sub_networks_in_one_region_are_those_of_separate_regions(choices):
    supernet = make()
    expected = [apart(supernet, choice) for choice in choices]
    assert not torch.equal(expected[0][0], expected[1][0])
    supernet.zero_grad()
    outs = []
    with region():
        for choice in choices:
            supernet.set_active_subnet(choice)
            outs.append(supernet(vectors(3, 16)))
    for out, (found, gradients) in zip(outs, expected, strict=True):
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, found)
        supernet.zero_grad()
        out.float().square().mean().backward()
        for name, parameter in supernet.named_parameters():
            assert torch.equal(parameter.grad, gradients[name]), name


@orders
def test_backward_of_each_may_run_within_the_region(choices):
    supernet = make()
    expected = [apart(supernet, choice)[1] for choice in choices]
    with region():
        for choice, gradients in zip(choices, expected, strict=True):
            supernet.zero_grad()
            supernet.set_active_subnet(choice)
            supernet(vectors(3, 16)).float().square().mean().backward()
            for name, parameter in supernet.named_parameters():
                assert torch.equal(parameter.grad, gradients[name]), name


@orders
@modes
def test_in_one_region_masked_is_baked(choices, mode):
    supernet = make()
    with mode(), region():
        for choice in choices:
            supernet.set_active_subnet(choice)
            found = supernet(vectors(3, 16))
            assert torch.equal(found, supernet.baked_model()(vectors(3, 16)))


def test_pruned_entries_get_no_gradient():
    supernet = make()
    _, gradients = apart(supernet, 0.5)
    for name, mask in supernet.mask().items():
        assert not gradients[f"model.{name}"][mask == 0].any()
        assert gradients[f"model.{name}"][mask == 1].any()


def test_a_region_opened_within_masked_sees_the_masks():
    supernet = make()
    supernet.set_active_subnet(0.5)
    expected, _ = apart(supernet, 0.5)
    with supernet.masked() as model, region():
        assert torch.equal(model(vectors(3, 16)), expected)
