# SPDX-License-Identifier: Apache-2.0
"""Runs side by side: what is seen, in which order, and that nothing is left behind."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from omni_plugin import OmniError
from omni_plugin.calibration.walk import Walk
from omni_plugin.calibration.watch import residuals
from tests.support.calibration_toys import Residual, batches, calls
from tests.support.torch_models import FunctionLinear, ScaledLinear, mixed, tokens

NAMES = ["ins.0.weight", "outs.0.weight", "ins.1.weight", "outs.1.weight"]


def inputs_by_hooks(model, module, data):
    seen = []
    handle = module.register_forward_hook(lambda m, args, out: seen.append(args[0].flatten(0, -2)))
    with torch.no_grad():
        for x in data:
            model(x)
    handle.remove()
    return seen


def test_weights_come_in_the_order_in_which_they_run_with_their_inputs():
    model, data = Residual().eval(), batches()
    found = {}
    with Walk([model], calls(data), sorted(NAMES)) as walk:
        for stop in walk:
            found[stop.name] = [uses[0].rows for uses in stop.uses]
    assert list(found) == NAMES
    for name, rows in found.items():
        expected = inputs_by_hooks(model, model.get_submodule(name[:-7]), data)
        for a, b in zip(rows, expected, strict=True):
            assert torch.equal(a, b)


def test_what_is_changed_at_a_stop_is_what_runs():
    model, data = Residual().eval(), batches(2)
    with torch.no_grad(), Walk([model], calls(data), NAMES) as walk:
        for stop in walk:
            if stop.name == "outs.0.weight":
                model.outs[0].weight.zero_()
                model.outs[0].bias.zero_()
            if stop.name == "ins.1.weight":
                expected = model.norms[1](data[1]).flatten(0, 1)
                torch.testing.assert_close(stop.uses[1][0].rows, expected)


# Residual units.


def test_what_is_added_to_something_is_known():
    found = residuals(Residual().eval(), calls(batches(1))[0], set(NAMES))
    assert found == {"outs.0.weight", "outs.1.weight"}


class Sliced(nn.Module):
    """The first half of a product is used alone, and all of it, reshaped, is added."""

    def __init__(self) -> None:
        super().__init__()
        self.part, self.whole = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        y = self.part(x)[:2]
        x = x + nn.functional.dropout(self.whole(x)[:4].transpose(0, 1), 0.5, False).transpose(0, 1)
        return y + x[:2]


def test_a_view_of_a_whole_product_is_it_and_a_part_is_not():
    call = lambda model: model(torch.ones(4, 4))  # noqa: E731
    assert residuals(Sliced().eval(), call, {"part.weight", "whole.weight"}) == {"whole.weight"}


def test_residuals_come_with_what_the_product_is_added_to():
    model, data = Residual().eval(), batches(2)
    with Walk([model], calls(data), NAMES, {"outs.0.weight", "outs.1.weight"}) as walk:
        found = {stop.name: [uses[0] for uses in stop.uses] for stop in walk}
    assert list(found) == NAMES
    for x, use in zip(data, found["outs.0.weight"], strict=True):
        assert torch.equal(use.residual, x.flatten(0, 1))
        with torch.no_grad():
            assert torch.equal(use.rows, model.ins[0](model.norms[0](x)).relu().flatten(0, 1))
    assert found["ins.0.weight"][0].residual is None


def test_what_a_transposed_product_is_added_to_comes_in_its_rows():
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv1d(3, 4, 1)

        def forward(self, x, added):
            return added + self.layer(x).transpose(1, 2)

    x, added = torch.randn(2, 3, 5), torch.randn(2, 5, 4)
    model, names = Transposed().eval(), ["layer.weight"]
    with Walk([model], [lambda m: m(x, added)], names, set(names)) as walk:
        (stop,) = walk
    assert torch.equal(stop.uses[0][0].residual, added.flatten(0, 1))
    assert torch.equal(stop.uses[0][0].rows, x.transpose(1, 2).flatten(0, 1))


def test_a_product_is_made_again_with_the_weights_that_it_got_meanwhile():
    model, data = Residual().eval(), batches(2)
    results = []
    runs = [lambda model, x=x: results.append(model(x)) for x in data]
    with torch.no_grad(), Walk([model], runs, NAMES, {"outs.0.weight"}) as walk:
        for stop in walk:
            if stop.name == "outs.0.weight":
                model.outs[0].weight.mul_(0.5)
                model.outs[0].bias.add_(1.0)
    with torch.no_grad():
        for x, result in zip(data, results, strict=True):
            assert torch.equal(result, model(x))


def test_each_call_runs_once_in_each_model():
    models, count = [Residual().eval(), Residual().eval()], []

    def call(model):
        count.append(models.index(model))
        return model(batches(1)[0])

    with Walk(models, [call, call], NAMES) as walk:
        assert [len(stop.uses) for stop in walk] == [2] * 4
    assert sorted(count) == [0, 0, 1, 1]


def test_matrices_of_every_class_are_seen():
    model = mixed().eval()
    names = [n for n in model.matrices if "reader" not in n and "function" not in n]
    with Walk([model], [lambda m: m(tokens())], names) as walk:
        shapes = {stop.name: stop.uses[0][0].rows.shape for stop in walk}
    assert shapes == dict.fromkeys(names, torch.Size([14, 16]))


class Functional(FunctionLinear):
    """Multiplies by ``F.linear``, in a function of its own."""

    def forward(self, x):
        return nn.functional.linear(x, self.weight)


@pytest.mark.parametrize("module", [ScaledLinear(16, 8), Functional(16, 8), nn.Linear(16, 8)])
def test_a_weight_is_known_however_it_is_used(module):
    with Walk([module.eval()], [lambda m: m(torch.ones(3, 16))], ["weight"]) as walk:
        (stop,) = walk
    assert torch.equal(stop.uses[0][0].rows, torch.ones(3, 16))


def test_a_scaled_weight_is_changed_before_it_is_used():
    model = nn.Sequential(ScaledLinear(16, 8), nn.Linear(8, 4)).eval()
    x = torch.ones(3, 16)
    with torch.no_grad(), Walk([model], [lambda m: m(x)], ["0.weight", "1.weight"]) as walk:
        for stop in walk:
            if stop.name == "0.weight":
                model[0].weight.mul_(0.5)
            else:
                assert torch.equal(stop.uses[0][0].rows, model[0](x))


def test_a_weight_that_is_used_again_is_seen_once():
    shared = nn.Linear(16, 16)
    model = nn.Sequential(shared, nn.ReLU(), shared).eval()
    with Walk([model], [lambda m: m(torch.ones(3, 16))], ["0.weight"]) as walk:
        (stop,) = walk
    assert torch.equal(stop.uses[0][0].rows, torch.ones(3, 16))


def test_a_weight_that_no_call_uses_is_named():
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}).eval()
    with pytest.raises(OmniError, match="1 of 2 weights are not used.*: b.weight; exclude them"):
        with Walk([model], [lambda m: m["a"](torch.ones(1, 4))], ["a.weight", "b.weight"]) as walk:
            list(walk)


def test_calls_that_run_in_different_orders_are_refused():
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}).eval()
    both = [lambda m: m["b"](m["a"](torch.ones(1, 4))), lambda m: m["a"](m["b"](torch.ones(1, 4)))]
    with pytest.raises(OmniError, match="different orders: a.weight and b.weight at the same"):
        with Walk([model], both, ["a.weight", "b.weight"]) as walk:
            list(walk)


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(OmniError, match="in training mode; call model.eval()"):
        Walk([Residual()], calls(batches(1)), NAMES)


def test_nothing_to_run_is_refused():
    with pytest.raises(OmniError, match="give at least one call"):
        Walk([Residual().eval()], [], NAMES)


@pytest.mark.parametrize("conv, said", [(nn.Conv1d(4, 4, 1, stride=2), "stride"),
                                        (nn.Conv1d(4, 4, 1, groups=2), "groups"),
                                        (nn.Conv2d(4, 4, 1, padding=1), "padding")])  # fmt: skip
def test_a_convolution_that_is_no_plain_product_is_refused(conv, said):
    x = torch.ones(1, 4, *[3] * (conv.weight.dim() - 2))
    with pytest.raises(OmniError, match=f"weight: Conv.d with {said} .* exclude it"):
        with Walk([conv.eval()], [lambda m: m(x)], ["weight"]) as walk:
            list(walk)


def test_what_a_call_raises_is_raised_and_no_thread_is_left():
    def broken(model):
        model(batches(1)[0])
        raise ValueError("a bad batch")

    before = threading.active_count()
    with pytest.raises(ValueError, match="a bad batch"):
        with Walk([Residual().eval()], [*calls(batches(3)), broken], NAMES) as walk:
            list(walk)
    assert threading.active_count() == before


def test_a_walk_may_be_left_at_any_stop():
    before = threading.active_count()
    model = Residual().eval()
    with Walk([model], calls(batches(3)), NAMES) as walk:
        for _ in walk:
            break
    assert threading.active_count() == before
    assert not model.ins[0]._forward_hooks and not model.ins[0]._forward_pre_hooks
