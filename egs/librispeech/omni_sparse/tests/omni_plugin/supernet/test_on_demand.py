# SPDX-License-Identifier: Apache-2.0
"""Masked weights that are made when they are read, kept or not: what that must not change."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from omni_plugin.supernet import SuperNet
from omni_plugin.supernet.made_at_once import made_at_once
from omni_plugin.supernet.masked_weight import MaskedWeight
from omni_plugin.supernet.on_demand import made_when_read
from tests.support.torch_models import mixed, tokens

SHAPE = (48, 40)


def alone() -> tuple[nn.Linear, SuperNet]:
    torch.manual_seed(0)
    model = nn.Linear(SHAPE[1], SHAPE[0], bias=False)
    supernet = SuperNet(model)
    supernet.set_active_subnet(0.5)
    model.weight.grad = torch.zeros_like(model.weight)
    return model, supernet


def kept_bytes(run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, int]:
    """What a call gives, and by how much it makes torch's memory grow."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        out = run()
    changes = [e.nbytes() for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    return out, sum(changes)


def test_no_masked_weight_lives_between_forward_and_backward():
    model, supernet = alone()
    x = torch.randn(3, SHAPE[1], requires_grad=True)  # so that backward needs the weight
    weight_bytes = model.weight.numel() * 4
    masked = model.weight * supernet.mask()["weight"]
    assert kept_bytes(lambda: x @ (masked * 1).T)[1] > weight_bytes
    out, kept = kept_bytes(lambda: supernet(x))
    assert out.numel() * 4 <= kept < weight_bytes / 2


def test_without_gradients_the_masked_weight_is_kept():
    model, supernet = alone()
    model.weight.grad = None
    x = torch.randn(3, SHAPE[1], requires_grad=True)
    assert kept_bytes(lambda: supernet(x))[1] > model.weight.numel() * 4


@pytest.mark.parametrize("pattern", ["8x1", "1x1", "2:4", "3x5"])
def test_gradients_of_a_second_pass_are_those_of_a_first(pattern):
    supernet = SuperNet(mixed(), pattern)
    supernet.set_active_subnet(0.5)
    grads = []
    for _ in range(2):
        supernet(tokens()).square().mean().backward()
        grads.append({name: p.grad.clone() for name, p in supernet.named_parameters()})
    for name, first in grads[0].items():
        assert torch.equal(grads[1][name], 2 * first), name


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Supernets make their weights as they do on a GPU."""
    monkeypatch.setattr(SuperNet, "_way_to_make", lambda _: made_when_read)


@pytest.mark.parametrize("pattern", ["8x1", "1x1", "2:4", "3x5"])
def test_made_when_read_they_give_the_same_outputs_and_gradients(pattern, monkeypatch):
    found = []
    for way in (made_at_once, made_when_read):
        monkeypatch.setattr(SuperNet, "_way_to_make", lambda _, way=way: way)
        supernet = SuperNet(mixed(), pattern)
        supernet.set_active_subnet(0.5)
        outputs = []
        for _ in range(2):
            outputs.append(supernet(tokens()))
            outputs[-1].square().mean().backward()
        found.append([*outputs, *(p.grad for p in supernet.parameters())])
    for expected, value in zip(*found, strict=True):
        assert torch.equal(value, expected)


def test_a_weight_that_is_read_twice_is_made_once(on_a_gpu):
    model, supernet = alone()
    with supernet.masked():
        assert model.weight is model.weight


def test_a_weight_that_is_not_read_is_not_made(on_a_gpu, monkeypatch):
    made = []
    product = MaskedWeight.product
    monkeypatch.setattr(MaskedWeight, "product", lambda x: made.append(x.weight.name) or product(x))
    supernet = SuperNet(nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16)]))
    supernet.set_active_subnet(0.5)
    with supernet.masked() as model:
        model[1](torch.zeros(1, 16))
    assert made == ["1.weight"]


def test_elsewhere_than_on_the_cpu_they_are_made_when_read(monkeypatch):
    # torch 1 cannot sort what has no values; here no order is asked for.
    monkeypatch.setattr(torch.Tensor, "argsort", lambda x, **_: x.to(torch.int64))
    model = nn.Linear(SHAPE[1], SHAPE[0], bias=False, device="meta")
    supernet = SuperNet(model)
    supernet.set_active_subnet(0.5)
    with supernet.masked():
        assert "weight" not in model.__dict__ and type(model) is not nn.Linear
    assert type(model) is nn.Linear


def test_a_level_may_change_before_backward():
    model, supernet = alone()
    x = torch.randn(3, SHAPE[1], requires_grad=True)
    expected = x.detach() @ supernet.bake()["weight"].T
    out = supernet(x)
    supernet.set_active_subnet(0.9)
    supernet(torch.randn(3, SHAPE[1]))
    supernet.set_active_subnet(0.5)
    assert torch.equal(out, expected)
    out.sum().backward()
    assert torch.allclose(x.grad, supernet.bake()["weight"].sum(0).expand(3, -1), atol=1e-6)


def test_a_weight_that_changes_before_backward_is_refused():
    model, supernet = alone()
    out = supernet(torch.randn(3, SHAPE[1], requires_grad=True))
    with torch.no_grad():
        model.weight.add_(1.0)
    with pytest.raises(
        RuntimeError, match="weight was changed in place between forward and backward"
    ):
        out.sum().backward()


def test_classes_are_as_before_after_a_pass():
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(0.5)
    supernet(tokens()).sum().backward()
    classes = [type(module) for module in supernet.model.modules()]
    supernet(tokens())
    assert [type(module) for module in supernet.model.modules()] == classes


def test_second_derivatives_are_those_of_the_baked_weights():
    model, supernet = alone()
    baked = supernet.baked_model()

    def second(run: nn.Module) -> torch.Tensor:
        x = torch.linspace(-1, 1, SHAPE[1]).requires_grad_()
        (first,) = torch.autograd.grad(run(x).tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    assert torch.allclose(second(supernet), second(baked), atol=1e-6)
