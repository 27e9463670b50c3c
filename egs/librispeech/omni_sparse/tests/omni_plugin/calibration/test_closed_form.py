# SPDX-License-Identifier: Apache-2.0
"""Whole models in closed form."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from omni_plugin import OmniError, SuperNet
from omni_plugin.calibration import Calibration, CalibrationSettings, calibrate
from omni_plugin.calibration.scores import SCORES
from omni_plugin.calibration.settings import ALLOCATIONS
from tests.support.calibration_toys import Residual, batches, calls, output_error, trained

LAYERS = (r"^ins\.", r"^outs\.")


def settings(**changes) -> CalibrationSettings:
    return CalibrationSettings(**{"include": LAYERS, "norms": False, **changes})


@pytest.fixture(scope="module")
def model() -> Residual:
    return trained()


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("pattern, level", [("8x1", 0.5), ("8x1", 0.7), ("4x2", 0.6),
                                            ("2:4", 0.5), ("unstructured", 0.8)])  # fmt: skip
def test_the_number_of_zeros_is_exact(model, pattern, level, score, allocation):
    own = settings(pattern=pattern, score=score, allocation=allocation)
    calibration = Calibration(model, calls(batches()), own)
    found = calibration.model(level)
    zeros = sum(int((found.get_parameter(n) == 0).sum()) for n in calibration.supernet.layer_names)
    assert zeros == calibration.supernet.num_zeros(level)


def test_n_m_keeps_n_of_each_m(model):
    found = calibrate(model, calls(batches()), 0.5, settings(pattern="2:4"))
    for layer in (*found.ins, *found.outs):
        kept = (layer.weight.detach().view(layer.out_features, -1, 4) != 0).sum(2)
        assert (kept == 2).all()


@pytest.mark.parametrize("pattern", ["8x1", "2:4", "unstructured"])
def test_levels_are_nested(model, pattern):
    calibration = Calibration(model, calls(batches()), settings(pattern=pattern))
    zeros = [
        {
            n: calibration.model(level).get_parameter(n) == 0
            for n in calibration.supernet.layer_names
        }
        for level in (0.25, 0.5)
    ]
    for name in calibration.supernet.layer_names:
        assert not (zeros[0][name] & ~zeros[1][name]).any()


def test_several_levels_at_once_are_those_of_one_at_a_time(model):
    calibration = Calibration(model, calls(batches()), settings(norms=True))
    for level, found in zip((0.5, 0.7), calibration.models([0.5, 0.7]), strict=True):
        for a, b in zip(found.parameters(), calibration.model(level).parameters(), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("level", [0.3, 0.5, 0.7])
def test_outputs_are_nearer_to_the_whole_models_than_by_magnitude(model, level):
    """On data that were not calibrated on."""
    data, others = calls(batches(8)[:4]), batches(8)[4:]
    plain = SuperNet(model, "8x1", LAYERS).baked_model(level)
    error = output_error(plain, model, others)
    solved = calibrate(model, data, level, settings(score="magnitude"))
    best = calibrate(model, data, level, settings())
    assert output_error(solved, model, others) < 0.7 * error
    assert output_error(best, model, others) < 0.6 * error


def test_layers_mend_what_those_before_them_lost(model):
    """With the inputs of the whole model in place of the pruned one's, less is gained."""
    data, level = batches(), 0.6
    calibration = Calibration(model, calls(data), settings())
    mended = calibration.model(level)
    alone = copy.deepcopy(model)
    for name in calibration.supernet.layer_names:
        one = Calibration(model, calls(data), settings(include=(f"^{name}",)),
                          {name: calibration.supernet.ranks()[name]})  # fmt: skip
        found = one.model(level)
        for kind in ("weight", "bias"):
            part = name.replace("weight", kind)
            alone.get_parameter(part).data.copy_(found.get_parameter(part))
    assert output_error(mended, model, data) < output_error(alone, model, data)


def test_batches_give_what_all_gives_at_once(model):
    data = batches(4)
    one = calibrate(model, calls([torch.cat(data)]), 0.5, settings())
    many = calibrate(model, calls(data), 0.5, settings())
    for a, b in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


class Pointwise(nn.Module):
    """A residual unit of linear layers, or of the convolutions that do the same."""

    def __init__(self, conv: bool) -> None:
        super().__init__()
        self.conv = conv
        self.first = nn.Conv1d(16, 24, 1) if conv else nn.Linear(16, 24)
        self.second = nn.Conv1d(24, 16, 1) if conv else nn.Linear(24, 16)
        self.last = nn.Linear(16, 8)

    def forward(self, x):
        y = x.transpose(1, 2) if self.conv else x
        y = self.second(self.first(y).relu())
        return self.last(x + y.transpose(1, 2) if self.conv else x + y)


def test_a_pointwise_convolution_is_a_linear_layer():
    linear, conv = Pointwise(False).eval(), Pointwise(True).eval()
    state = linear.state_dict()
    for name in ("first.weight", "second.weight"):
        state[name] = state[name].unsqueeze(2)
    conv.load_state_dict(state)
    data = batches()
    expected = calibrate(linear, calls(data), 0.5).state_dict()
    for name, value in calibrate(conv, calls(data), 0.5).state_dict().items():
        assert value.shape == state[name].shape
        torch.testing.assert_close(
            value.view_as(expected[name]), expected[name], rtol=1e-4, atol=1e-5
        )


def test_the_sum_is_mended_where_outputs_are_added_to_something(model):
    """Rather than what is added alone."""
    data, others = calls(batches(8)[:4]), batches(8)[4:]
    mended = calibrate(model, data, 0.6, settings())
    alone = calibrate(model, data, 0.6, settings(residual=False))
    assert output_error(mended, model, others) < 0.95 * output_error(alone, model, others)


def test_levels_with_an_order_of_their_own_lose_less(model):
    data, others = calls(batches(8)[:4]), batches(8)[4:]
    own = calibrate(model, data, 0.7, settings(nested=False))
    same = calibrate(model, data, 0.7, settings())
    assert output_error(own, model, others) < output_error(same, model, others)
    zeros = [int(sum((p == 0).sum() for p in m.parameters())) for m in (own, same)]
    assert zeros[0] == zeros[1]


def test_the_model_stays_as_it_is(model):
    before = copy.deepcopy(model.state_dict())
    calibrate(model, calls(batches()), 0.5, settings(norms=True))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_without_least_squares_the_weights_are_those_that_were_trained(model):
    own = settings(least_squares=False, biases=False)
    found = calibrate(model, calls(batches()), 0.5, own)
    for name, value in found.named_parameters():
        kept = value != 0
        assert torch.equal(value[kept], model.get_parameter(name)[kept]), name


def test_biases_give_the_whole_models_means(model):
    """Of the first layer, whose inputs are the same."""
    data = batches()
    found = calibrate(model, calls(data), 0.5, settings(least_squares=False))
    x = model.norms[0](torch.cat(data))
    torch.testing.assert_close(found.ins[0](x).mean((0, 1)), model.ins[0](x).mean((0, 1)))
    kept = calibrate(model, calls(data), 0.5, settings(biases=False))
    assert torch.equal(kept.ins[0].bias, model.ins[0].bias)


def test_norms_give_the_whole_models_means_and_variances(model):
    data = batches()
    found = calibrate(model, calls(data), 0.7, settings(least_squares=False, norms=True))
    x = torch.cat(data)
    with torch.no_grad():
        ours, theirs = found(x).flatten(0, 1), model(x).flatten(0, 1)
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.var(0), theirs.var(0), rtol=1e-3, atol=1e-4)
    # The first runs before anything is pruned.
    assert torch.equal(found.norms[0].weight, model.norms[0].weight)


def test_errors_are_told_of_each_layer(model):
    data = batches()
    calibration = Calibration(model, calls(data), settings())
    found = calibration.model(0.5)
    assert list(calibration.errors) == [
        "ins.0.weight", "outs.0.weight", "ins.1.weight", "outs.1.weight",
    ]  # fmt: skip
    x = model.norms[0](torch.cat(data))
    bias = model.ins[0].bias
    expected = (found.ins[0](x) - model.ins[0](x)).square().sum()
    expected = expected / (model.ins[0](x) - bias).square().sum()
    assert calibration.errors["ins.0.weight"] == pytest.approx(float(expected), rel=1e-3)


def test_levels_by_curves_lose_less_in_the_sum_of_the_layers(model):
    data = calls(batches())
    calibration = Calibration(model, data, settings(allocation="curves", residual=False))
    assert len(set(calibration.subnet(0.7).levels)) > 1
    uniform = Calibration(model, data, settings(residual=False))
    calibration.model(0.7), uniform.model(0.7)
    assert sum(calibration.errors.values()) < sum(uniform.errors.values())


def test_given_ranks_are_used(model):
    ranks = SuperNet(model, "8x1", LAYERS).ranks()
    found = Calibration(model, calls(batches()), settings(), ranks).model(0.5)
    masks = SuperNet(model, "8x1", LAYERS).mask(0.5)
    for name, mask in masks.items():
        assert not found.get_parameter(name)[mask == 0].any()


# One set for all levels.


def test_one_weight_set_serves_all_its_levels_better_than_the_trained_one(model):
    data, levels = batches(), (0.0, 0.5, 0.7)
    calibration = Calibration(model, calls(data), settings())
    shared = calibration.shared(levels, [1.0, 1.0, 1.0])
    ours, theirs = (SuperNet(m, "8x1", LAYERS) for m in (shared, model))
    for supernet in (ours, theirs):
        supernet.set_ranks(calibration.supernet.ranks())
    errors = {
        level: [output_error(s.baked_model(level), model, data) for s in (ours, theirs)]
        for level in levels[1:]
    }
    assert all(own < 0.8 * trained for own, trained in errors.values())


def test_the_larger_a_levels_share_the_smaller_its_error(model):
    data = batches()
    calibration = Calibration(model, calls(data), settings())
    errors = [
        output_error(calibration.shared((0.0, 0.5), shares), model, data)
        for shares in ([1.0, 1.0], [10.0, 1.0], [100.0, 1.0])
    ]
    assert errors[0] > errors[1] > errors[2]


def test_one_weight_set_needs_nested_levels(model):
    calibration = Calibration(model, calls(batches(1)), settings(nested=False))
    with pytest.raises(OmniError, match="several levels: they must be nested"):
        calibration.shared([0.0, 0.5], [1.0, 1.0])


def test_of_the_whole_network_alone_nothing_changes(model):
    calibration = Calibration(model, calls(batches()), settings())
    shared = calibration.shared([0.0], [1.0])
    for name, value in shared.named_parameters():
        torch.testing.assert_close(value, model.get_parameter(name), rtol=1e-4, atol=1e-5)


# What is refused.


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"score": "best"}, "calibrated.score is 'best'; known: obs, wanda, magnitude"),
        ({"allocation": "by hand"}, "calibrated.allocation is 'by hand'; known: uniform, curves"),
        ({"nested": False, "score": "wanda"}, "only score obs has that, not wanda"),
        ({"damping": 0.0}, "calibrated.damping is 0.0; it must be above 0"),
    ],
)
def test_settings_that_are_impossible_are_refused(changes, said):
    with pytest.raises(OmniError, match=said):
        CalibrationSettings(**changes)


def test_settings_of_another_name_or_type_are_refused():
    with pytest.raises(OmniError, match="calibrated: unknown 'colour'"):
        CalibrationSettings.from_dict({"colour": "red"})
    with pytest.raises(OmniError, match="calibrated.damping: 'much' is not of type float"):
        CalibrationSettings.from_dict({"damping": "much"})
    own = settings(score="wanda")
    assert CalibrationSettings.from_dict(own.to_dict()) == own


def test_a_level_that_the_pattern_does_not_have_is_refused(model):
    calibration = Calibration(model, calls(batches(1)), settings(pattern="2:4"))
    with pytest.raises(OmniError, match="more than pattern 2:4 allows"):
        calibration.model(0.8)
