# SPDX-License-Identifier: Apache-2.0
"""Compiled models, which torch specialises by what it saw when it compiled them."""

import pytest
import torch
from torch import nn

from omni_plugin import OmniTraining, SparsitySettings
from omni_plugin.supernet import SuperNet
from omni_plugin.supernet.made_at_once import made_at_once
from omni_plugin.supernet.on_demand import made_when_read
from tests.support.torch_models import vectors

pytestmark = [
    pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch.compile is of torch 2"),
    pytest.mark.filterwarnings("ignore:Dynamo detected a call to"),  # of the wrapper, compiled
]
LEVELS = (0.5, 0.0, 0.8)  # dense in between: what was compiled for it must not serve the next


class Backend:
    """Runs what it is given as it is, and counts what multiplies by weights: the model."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, graph, inputs):
        self.calls += any("linear" in str(node.target) for node in graph.graph.nodes)
        return graph.forward


@pytest.fixture
def backend() -> Backend:
    torch._dynamo.reset()
    return Backend()


class Small(nn.Module):
    """Of a class of its own, since torch leaves its containers as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu())


def model() -> Small:
    torch.manual_seed(0)
    return Small()


def in_place(backend):
    own = model()
    supernet = SuperNet(own)
    own.compile(backend=backend)
    return supernet, supernet


def in_place_before(backend):
    own = model()
    own.compile(backend=backend)
    supernet = SuperNet(own)
    return supernet, supernet


def a_compiled_model(backend):
    supernet = SuperNet(torch.compile(model(), backend=backend))
    return supernet, supernet


def the_supernet(backend):
    supernet = SuperNet(model())
    return supernet, torch.compile(supernet, backend=backend)


WAYS = (in_place, in_place_before, a_compiled_model, the_supernet)


def gradients(supernet, net, level) -> list[torch.Tensor]:
    """Of two passes, since the second makes its weights on demand."""
    supernet.zero_grad()
    supernet.set_active_subnet(level)
    for _ in range(2):
        net(vectors(3, 16)).square().mean().backward()
    return [parameter.grad.clone() for parameter in supernet.parameters()]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_switch_gives_the_sub_network_and_its_gradients(way, device, backend, monkeypatch):
    if device == "gpu":  # where weights are made when they are read
        made = {True: made_when_read, False: made_at_once}
        monkeypatch.setattr(SuperNet, "_way_to_make", lambda _: made[torch.is_grad_enabled()])
    plain = SuperNet(model())
    supernet, net = way(backend)
    for level in LEVELS:
        supernet.set_active_subnet(level)
        plain.set_active_subnet(level)
        with torch.no_grad():
            torch.testing.assert_close(net(vectors(3, 16)), plain(vectors(3, 16)))
        expected = gradients(plain, plain, level)
        for found, value in zip(gradients(supernet, net, level), expected, strict=True):
            torch.testing.assert_close(found, value)
    assert backend.calls


def test_a_model_that_ran_alone_is_masked_afterwards(backend):
    supernet, _ = in_place(backend)
    supernet.set_active_subnet(0.5)
    with torch.no_grad():
        for _ in range(2):
            dense, sparse = supernet.model(vectors(3, 16)), supernet(vectors(3, 16))
            assert not torch.allclose(dense, sparse)
            torch.testing.assert_close(sparse, supernet.baked_model(0.5)(vectors(3, 16)))


def test_further_levels_compile_nothing(backend):
    own = model()
    settings = SparsitySettings(adaptive_dropout=False, ramp={"name": "cubic", "end": 0.0})
    omni = OmniTraining(own, settings, total_updates=40)
    own.compile(backend=backend)
    counts = []
    for update in range(40):
        own.zero_grad()
        omni.backward(update, lambda net, part: net(vectors(3, 16)).square().mean())
        counts.append(backend.calls)
    assert counts[10] == counts[-1] > 0
