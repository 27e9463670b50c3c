# SPDX-License-Identifier: Apache-2.0
"""Sums over the inputs of a layer."""

from __future__ import annotations

import pytest
import torch

from omni_plugin import OmniError
from omni_plugin.calibration.moments import Moments
from tests.support.calibration_toys import correlated, weights

SHAPES = pytest.mark.parametrize("outputs, inputs", [(8, 20), (20, 8), (8, 600)])


def made(weight, whole, pruned, cuts):
    moments = Moments(weight)
    for start, end in zip(cuts, cuts[1:], strict=False):
        moments.add(whole[start:end], pruned[start:end])
    return moments


@SHAPES
def test_sums_are_those_of_all_rows_at_once(outputs, inputs):
    weight = weights(outputs, inputs)
    whole, pruned = correlated(90, inputs), correlated(90, inputs, 5)
    moments = made(weight, whole, pruned, [0, 40, 41, 90])
    torch.testing.assert_close(moments.gram, pruned.T @ pruned)
    torch.testing.assert_close(moments.target, weight @ whole.T @ pruned)
    assert moments.energies()[0] == pytest.approx(float((whole @ weight.T).square().sum()))
    assert moments.count == 90


@SHAPES
def test_the_error_is_that_of_the_outputs(outputs, inputs):
    weight, other = weights(outputs, inputs), weights(outputs, inputs, 9)
    whole, pruned = correlated(90, inputs), correlated(90, inputs, 5)
    moments = made(weight, whole, pruned, [0, 90])
    y, bias = whole @ weight.T, weights(1, outputs, 4)[0]
    expected = (y - pruned @ other.T).square().sum() / y.square().sum()
    assert moments.error(other) == pytest.approx(float(expected))
    expected = (y - pruned @ other.T - bias).square().sum() / y.square().sum()
    assert moments.error(other, bias) == pytest.approx(float(expected))


@SHAPES
def test_centred_sums_are_those_of_centred_rows(outputs, inputs):
    weight = weights(outputs, inputs)
    whole, pruned = correlated(90, inputs), correlated(90, inputs, 5)
    gram, target = made(weight, whole, pruned, [0, 30, 90]).centred()
    x, y = pruned - pruned.mean(0), whole @ weight.T
    torch.testing.assert_close(gram, x.T @ x)
    torch.testing.assert_close(target, (y - y.mean(0)).T @ x)


def test_the_bias_makes_the_means_the_same():
    weight, other = weights(8, 12), weights(8, 12, 9)
    whole, pruned = correlated(90, 12), correlated(90, 12, 5)
    change = made(weight, whole, pruned, [0, 90]).bias_change(other)
    torch.testing.assert_close((pruned @ other.T).mean(0) + change, (whole @ weight.T).mean(0))


def test_what_outputs_are_added_to_is_part_of_what_they_are_to_give():
    weight, other = weights(8, 12), weights(8, 12, 9)
    whole, pruned = correlated(90, 12), correlated(90, 12, 5)
    added, instead = correlated(90, 8, 2), correlated(90, 8, 3)
    moments = Moments(weight, residual=True)
    for rows in (slice(0, 20), slice(20, 90)):
        moments.add(whole[rows], pruned[rows], residuals=(added[rows], instead[rows]))
    y = whole @ weight.T + added - instead
    torch.testing.assert_close(moments.target, y.T @ pruned)
    torch.testing.assert_close(moments.target_sum, y.sum(0))
    expected = (y - pruned @ other.T).square().sum() / (whole @ weight.T).square().sum()
    assert moments.error(other) == pytest.approx(float(expected))
    change = moments.bias_change(other)
    sums = instead + pruned @ other.T + change
    torch.testing.assert_close(sums.mean(0), (added + whole @ weight.T).mean(0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_inputs_that_are_no_numbers_are_refused_by_name(bad):
    x = correlated(10, 12)
    x[3, 4] = bad
    with pytest.raises(OmniError, match="^ffn: its inputs are not all finite"):
        Moments(weights(8, 12)).add(x, x, "ffn")
