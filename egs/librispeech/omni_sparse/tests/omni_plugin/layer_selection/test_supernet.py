# SPDX-License-Identifier: Apache-2.0
"""Sub-networks of fewer units: gated by zero, left out, and cut out."""

import copy
import pickle

import pytest
import torch
from torch import nn

from omni_plugin import OmniError
from omni_plugin.layer_selection import LayerSupernet, Selection, Zeros, find_units
from tests.support.layer_models import BRANCH, Optional, Residual, stack, vectors

KEEP = (True, False, True, True, False, False)
SELECTION = Selection("units-3", KEEP)
FULL = Selection("full", (True,) * 6)
KINDS = pytest.mark.parametrize(
    "layer, stand_in", [(Residual, Zeros), (Optional, lambda: None)], ids=["zeros", "none"]
)


def supernet(layer: type = Residual, stand_in=Zeros, **options) -> LayerSupernet:
    model = stack(layer=layer)
    return LayerSupernet(model, find_units(model, [BRANCH]), stand_in=stand_in, **options)


def by_hand(model: nn.Module, keep=KEEP) -> torch.Tensor:
    """Output of the kept layers alone."""
    x = vectors()
    for layer, kept in zip(model.layers, keep, strict=True):
        x = layer(x) if kept else x
    return model.head(x)


@KINDS
def test_left_out_cut_out_and_gated_by_zero_are_the_same(layer, stand_in):
    net = supernet(layer, stand_in)
    expected = by_hand(net.model)
    with net.running(SELECTION):
        assert torch.equal(net(vectors()), expected)
    with net.gated(torch.tensor([float(kept) for kept in KEEP])):
        assert torch.equal(net(vectors()), expected)
    assert torch.equal(net.extract(SELECTION)(vectors()), expected)


@KINDS
def test_all_units_change_nothing(layer, stand_in):
    net = supernet(layer, stand_in)
    expected = net.model(vectors())
    with net.running(FULL), net.gated(torch.ones(6)):
        assert torch.equal(net(vectors()), expected)


@KINDS
def test_units_that_are_left_out_are_not_computed(layer, stand_in):
    net = supernet(layer, stand_in)
    with net.running(SELECTION):
        net(vectors())
    assert [layer.branch.calls for layer in net.model.layers] == [int(kept) for kept in KEEP]


def test_units_that_are_gated_by_zero_are_computed():
    net = supernet()
    with net.gated(torch.zeros(6)):
        net(vectors())
    assert [layer.branch.calls for layer in net.model.layers] == [1] * 6


@KINDS
def test_a_cut_model_lacks_the_weights(layer, stand_in):
    net = supernet(layer, stand_in)
    names = [name for name, _ in net.model.named_parameters()]
    gone = tuple(f"layers.{n}." for n, kept in enumerate(KEEP) if not kept)
    small = net.extract(SELECTION)
    assert list(small.state_dict()) == [name for name in names if not name.startswith(gone)]
    assert [name for name, _ in net.model.named_parameters()] == names
    total = sum(p.numel() for p in net.model.parameters())
    left = sum(p.numel() for p in small.parameters())
    assert net.share(SELECTION) == pytest.approx(left / total)


def test_a_cut_model_is_a_copy():
    net = supernet()
    small = net.extract(SELECTION)
    expected = small(vectors())
    with torch.no_grad():
        for parameter in net.model.parameters():
            parameter.add_(1.0)
    assert torch.equal(small(vectors()), expected)


def test_the_model_stays_as_it_is():
    net = supernet()
    parameters, expected = dict(net.model.named_parameters()), net.model(vectors())
    with net.gated(net.scores), net.dropped(0.5, [True] * 6), net.running(SELECTION):
        net(vectors()).sum().backward()
    after = dict(net.model.named_parameters())
    assert list(after) == list(parameters)
    assert all(after[name] is parameters[name] for name in parameters)
    assert torch.equal(net.model(vectors()), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net.model))(vectors()), expected)
    assert torch.equal(copy.deepcopy(net)(vectors()), expected)


def test_scores_are_no_weights_of_the_model():
    net = supernet(score_init=0.7)
    assert net.scores.tolist() == pytest.approx([0.7] * 6)
    assert not any(net.scores is parameter for parameter in net.model.parameters())


# Gates.


def test_the_gradient_of_a_gate_is_the_loss_change_that_it_makes():
    net = supernet().double()
    x = vectors().double()
    gates = torch.tensor([0.0, 0.3, 1.0, 0.5, 0.0, 1.2], dtype=torch.float64, requires_grad=True)

    def loss(values: torch.Tensor) -> torch.Tensor:
        with net.gated(values):
            return net(x).square().sum()

    # The gates' products are in float32, whose rounding the steps must exceed.
    assert torch.autograd.gradcheck(loss, gates, eps=1e-2, atol=1e-2, rtol=1e-2)
    loss(gates).backward()
    assert (gates.grad != 0).all()


def test_no_gradient_reaches_units_that_are_left_out():
    net = supernet()
    with net.running(SELECTION):
        net(vectors()).sum().backward()
    has = [layer.branch[1].weight.grad is not None for layer in net.model.layers]
    assert has == list(KEEP)


def test_gates_keep_the_type_of_what_they_multiply():
    net = supernet()
    with net.gated(torch.full((6,), 0.5)), torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(vectors()).dtype == torch.bfloat16


def test_a_unit_that_gives_no_tensor_is_named():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    model = nn.ModuleDict({"a": Pair(), "b": nn.Linear(2, 2)})
    net = LayerSupernet(model, {"first": ("a",)})
    with net.gated(torch.ones(1)), pytest.raises(OmniError, match="unit first ends in Pair.*tuple"):
        model["a"](torch.zeros(1))


# Layer drop.


def test_rows_are_dropped_each_by_itself_and_the_others_scaled():
    net = supernet()
    x = vectors(400)
    branch = net.model.layers[2].branch(x)
    torch.manual_seed(0)
    with net.dropped(0.25, [False, False, True, False, False, False]):
        found = net.model.layers[2].branch(x)
        others = net.model.layers[3].branch(x)
    dropped = (found == 0).all(dim=1)
    torch.testing.assert_close(found[~dropped], branch[~dropped] / 0.75)
    assert 60 <= int(dropped.sum()) <= 140  # 100 expected; the bounds are beyond 4 sigma
    assert torch.equal(others, net.model.layers[3].branch(x))


def test_dropped_rows_are_those_of_the_batch_dimension():
    net = supernet(batch_dim=1)
    x = torch.randn(7, 200, 6)
    with net.dropped(0.5, [True] + [False] * 5):
        found = net.model.layers[0].branch(x)
    dropped = (found == 0).all(dim=2)
    assert (dropped == dropped[0]).all() and 0 < int(dropped[0].sum()) < 200


# What may be a unit.


def test_several_modules_make_one_branch():
    """The two halves of torch's own feed-forward; it does not know of units."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    net = LayerSupernet(layer, {"ffn": ("linear1", "linear2")})
    x = torch.randn(2, 5, 8)
    expected = layer.norm2(layer.norm1(x + layer.self_attn(x, x, x)[0]))
    none = Selection("none", (False,))
    with net.running(none):
        torch.testing.assert_close(net(x), expected)
    small = net.extract(none)
    torch.testing.assert_close(small(x), expected)
    assert not any("linear" in name for name in small.state_dict())


@pytest.mark.parametrize(
    "units, said",
    [({}, "no residual unit; name some"), ({"a": ("tail",)}, "the model has no module tail")],
)
def test_units_that_the_model_lacks_are_refused(units, said):
    with pytest.raises(OmniError, match=said):
        LayerSupernet(stack(), units)
