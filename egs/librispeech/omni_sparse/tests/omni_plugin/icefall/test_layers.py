# SPDX-License-Identifier: Apache-2.0
"""Numbers of layers, on a model with the structure of Zipformer's encoder."""

import copy
import random

import pytest
import torch
from torch import nn

from omni_plugin import OmniError
from omni_plugin.icefall.bake import LayerBaker
from omni_plugin.icefall.layers import LayerSession
from omni_plugin.icefall.source import Source
from omni_plugin.icefall.zipformer_layers import PassThrough, find_layers, without_layers
from omni_plugin.layer_selection import LayerSupernet, Selection
from tests.support.icefall.toy import Metrics, Scaler, params_of

UPDATES = 30


class Bypass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bypass_scale = nn.Parameter(torch.full((6,), 0.5))

    def forward(self, src_orig, src):
        return src_orig + (src - src_orig) * self.bypass_scale


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.feed_forward, self.bypass_mid, self.bypass = nn.Linear(6, 6), Bypass(), Bypass()

    def forward(self, src, pos_emb):
        return self.bypass(src, self.bypass_mid(src, src + self.feed_forward(src + pos_emb).tanh()))


class Stack(nn.Module):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(number)])

    def forward(self, src):
        for layer in self.layers:
            src = layer(src, 0.1)
        return src


class Downsampled(nn.Module):
    def __init__(self, encoder: Stack) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, src):
        return self.encoder(src)


class Model(nn.Module):
    """Of stacks, the first not downsampled; ``x`` is of shape ``(T, N, C)``."""

    def __init__(self, counts: str = "2,3") -> None:
        super().__init__()
        torch.manual_seed(1)
        first, *others = map(int, counts.split(","))
        self.encoder = nn.Module()
        stacks = [Stack(first), *(Downsampled(Stack(number)) for number in others)]
        self.encoder.encoders = nn.ModuleList(stacks)

    def forward(self, x):
        for stack in self.encoder.encoders:
            x = stack(x)
        return x


def compute(model: nn.Module, update: int):
    x = torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(update))

    def run():
        loss = (model(x) - x.roll(1, -1)).square().sum()
        return loss, Metrics(frames=15, loss=loss.item())

    return run


def train(start: int, end: int, state: dict | None = None):
    """Updates from ``start`` to ``end``, by plain gradient descent on the model's weights."""
    random.seed(0)
    words = ("--omni-layers", "1", "2", "--omni-total-updates", str(UPDATES))
    params = params_of(*words, "--omni-ramp-start", "0.1")
    model = Model()
    if state:
        model.load_state_dict(state["model"])
    session = LayerSession(model, params)
    if state:
        session.load(state)
    session.start_epoch(params, [], Scaler())
    for update in range(start, end):
        torch.manual_seed(update)
        params["batch_idx_train"] = update + 1
        loss, info = session.compute_loss(compute(model, update), params, True)
        assert list(info) == ["frames", "loss", "omni_smallest_loss"]
        Scaler().scale(loss).backward()
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 1e-4 * weight.grad
                weight.grad = None
    return model, session, {"model": copy.deepcopy(model.state_dict()), **copy.deepcopy(params)}


def test_units_are_all_layers_but_the_first_of_each_stack_and_add_no_weight():
    model = Model()
    names = list(model.state_dict())
    assert list(find_layers(model)) == ["stack 0 layer 1", "stack 1 layer 1", "stack 1 layer 2"]
    assert list(model.state_dict()) == names


def test_a_model_of_single_layers_is_refused():
    with pytest.raises(OmniError, match="no stack of Zipformer layers with two or more"):
        find_layers(Model("1,1"))


def test_without_gates_the_model_is_exactly_what_it_was():
    model, x = Model(), torch.randn(5, 3, 6)
    before = model(x)
    find_layers(model)
    assert torch.equal(model(x), before)


def test_a_gate_of_zero_is_the_layer_left_out():
    model, x = Model(), torch.randn(5, 3, 6)
    supernet = LayerSupernet(model, find_layers(model), stand_in=PassThrough, batch_dim=1)
    with supernet.gated(torch.tensor([0.0, 1.0, 0.0])):
        gated = model(x)
    with supernet.running(Selection("small", (False, True, False))):
        left_out = model(x)
    torch.testing.assert_close(gated, left_out)
    assert not torch.allclose(left_out, model(x))


def test_a_baked_size_is_bit_for_bit_the_supernets(tmp_path):
    model, session, checkpoint = train(0, UPDATES)
    torch.save({**checkpoint, "num_encoder_layers": "2,3"}, tmp_path / "epoch-1.pt")
    source = Source(tmp_path, 1, use_averaged_model=False)
    baker = LayerBaker(source, torch.load(tmp_path / "epoch-1.pt"))
    x = torch.randn(5, 3, 6)
    for size, layers in (("full", 5), ("units-2", 4), ("units-1", 3)):
        subnet = baker.subnet(size)
        counts = baker.params_of(subnet)["num_encoder_layers"]
        assert sum(map(int, counts.split(","))) == layers
        small = Model(counts)
        small.load_state_dict(baker.weights(subnet))
        with session.layers.running(session.layers.selection(size)):
            assert torch.equal(small(x), model(x))


def test_a_run_that_goes_on_ends_as_if_it_had_not_been_interrupted():
    _, _, whole = train(0, UPDATES)
    _, _, half = train(0, 12)
    _, _, other = train(12, UPDATES, half)
    for name, value in whole["model"].items():
        torch.testing.assert_close(other["model"][name], value)
    for state in (whole["omni"]["layers"], other["omni"]["layers"]):
        assert len(state["order"]) == 3
    assert torch.equal(whole["omni"]["layers"]["order"], other["omni"]["layers"]["order"])


def test_unknown_sizes_and_an_unfinished_selection_are_refused(tmp_path):
    _, _, checkpoint = train(0, 5)
    torch.save(checkpoint, tmp_path / "epoch-1.pt")
    baker = LayerBaker(Source(tmp_path, 1, use_averaged_model=False), checkpoint)
    with pytest.raises(OmniError, match="known: full, units-1, units-2"):
        baker.subnet("units-9")
    with pytest.raises(OmniError, match="had not ended"):
        baker.subnet("units-1")


def test_layers_behind_a_removed_one_are_renumbered():
    weights = {f"encoder.encoders.1.encoder.layers.{n}.bypass.w": torch.tensor(n) for n in range(4)}
    kept, counts = without_layers(weights, ["stack 1 layer 1", "stack 1 layer 2"], "2,4")
    assert counts == "2,2"
    assert {name.split(".")[-3]: int(value) for name, value in kept.items()} == {"0": 0, "1": 3}


def test_validation_tells_the_loss_of_each_size():
    model, session, checkpoint = train(0, UPDATES)
    _, info = session.compute_loss(compute(model, 0), checkpoint, False)
    assert list(info) == ["frames", "loss", "omni_loss_units-2", "omni_loss_units-1"]
