# SPDX-License-Identifier: Apache-2.0
"""Least squares on a mask, against numpy's of each row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni_plugin import OmniError
from omni_plugin.calibration.least_squares import damping_of, factor, least_squares
from omni_plugin.calibration.moments import Moments
from omni_plugin.calibration.shared import shared_least_squares
from omni_plugin.patterns import make_pattern
from tests.support.calibration_toys import correlated, weights


def masks(pattern: str, weight, level: float):
    found = make_pattern(pattern)
    return found.expand(found.keep(found.rank_weight(weight), level), weight.shape)


def numpy_rows(x, y, weight, mask, extra: float):
    """Each row by numpy: the damping as more rows of inputs, whose outputs the old weights give."""
    found = np.zeros(weight.shape)
    for row, kept in enumerate(mask.numpy()):
        inputs = np.concatenate([x.numpy(), extra**0.5 * np.eye(x.shape[1])])[:, kept]
        outputs = np.concatenate([y[:, row].numpy(), extra**0.5 * weight[row].numpy()])
        found[row, kept] = np.linalg.lstsq(inputs, outputs, rcond=None)[0]
    return torch.from_numpy(found)


@pytest.mark.parametrize("pattern, level", [("8x1", 0.5), ("4x2", 0.5), ("2:4", 0.5),
                                            ("unstructured", 0.7), ("3x1", 0.4)])  # fmt: skip
def test_each_row_is_the_one_that_numpy_finds(pattern, level):
    whole, pruned, weight = correlated(200, 12), correlated(200, 12, 5), weights(16, 12)
    moments = Moments(weight)
    moments.add(whole, pruned)
    mask = masks(pattern, weight, level)
    found = least_squares(moments.gram, moments.target, weight, mask, 1e-2)
    extra = damping_of(pruned.T @ pruned, 1e-2)
    expected = numpy_rows(pruned, whole @ weight.T, weight, mask, extra)
    torch.testing.assert_close(found, expected)
    assert not found[~mask].any()


def test_with_a_free_bias_the_centred_inputs_count():
    whole, pruned, weight = correlated(200, 12), correlated(200, 12, 5), weights(8, 12)
    moments = Moments(weight)
    moments.add(whole, pruned)
    mask = masks("8x1", weight, 0.5)
    found = least_squares(*moments.centred(), weight, mask, 1e-9)
    inputs = np.concatenate([pruned.numpy()[:, mask[0].numpy()], np.ones((200, 1))], axis=1)
    expected = np.linalg.lstsq(inputs, (whole @ weight.T).numpy(), rcond=None)[0]
    torch.testing.assert_close(found[:, mask[0]], torch.from_numpy(expected[:-1].T), rtol=1e-6,
                               atol=1e-6)  # fmt: skip
    change = moments.bias_change(found)
    torch.testing.assert_close(change, torch.from_numpy(expected[-1]), rtol=1e-6, atol=1e-6)


def test_without_a_mask_and_with_the_same_inputs_weights_stay():
    x, weight = correlated(100, 12), weights(8, 12)
    moments = Moments(weight)
    moments.add(x, x)
    every = torch.ones_like(weight, dtype=torch.bool)
    torch.testing.assert_close(
        least_squares(moments.gram, moments.target, weight, every, 0.1), weight
    )


def test_inputs_that_are_always_zero_and_few_samples_do_no_harm():
    x, weight = correlated(5, 12), weights(8, 12)
    x[:, 3] = 0
    moments = Moments(weight)
    moments.add(x, x)
    mask = masks("8x1", weight, 0.25)
    found = least_squares(moments.gram, moments.target, weight, mask, 1e-2)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[:, 3], weight[:, 3] * mask[:, 3])


def test_no_input_at_all_leaves_the_weights():
    weight, zeros = weights(8, 12), torch.zeros(10, 12, dtype=torch.float64)
    moments = Moments(weight)
    moments.add(zeros, zeros)
    mask = masks("8x1", weight, 0.5)
    found = least_squares(moments.gram, moments.target, weight, mask, 1e-2)
    torch.testing.assert_close(found, weight * mask)


def test_a_matrix_that_rounding_made_indefinite_is_mended():
    column = correlated(20, 1)
    matrix = (column @ column.T) - 1e-10 * torch.eye(20, dtype=torch.float64)
    lower = factor(matrix)
    torch.testing.assert_close(lower @ lower.T, matrix, rtol=0, atol=1e-5)


def test_a_matrix_that_is_not_positive_is_refused_in_one_line():
    with pytest.raises(OmniError, match="second moments are singular; use more damping") as e:
        factor(-torch.eye(3, dtype=torch.float64))
    assert "\n" not in str(e.value)


# One set for several levels.


def test_the_shared_weights_are_the_least_of_their_error():
    weight = weights(16, 12)
    levels = [(0.25, 1.0, 5), (0.5, 0.5, 6), (0.75, 2.0, 7)]
    whole = correlated(100, 12)
    inputs = [correlated(100, 12, seed) for _, _, seed in levels]
    kept = [masks("8x1", weight, level) for level, _, _ in levels]
    shares = [share for _, share, _ in levels]
    found_moments = []
    for x in inputs:
        found_moments.append(Moments(weight))
        found_moments[-1].add(whole, x)
    grams, targets = [m.gram for m in found_moments], [m.target for m in found_moments]
    found = shared_least_squares(grams, targets, weight, kept, shares, 1e-2)
    extra = damping_of(sum(a * g for a, g in zip(shares, grams, strict=True)), 1e-2)
    variable = found.clone().requires_grad_()
    loss = extra * (variable - weight).square().sum()
    for a, x, mask in zip(shares, inputs, kept, strict=True):
        loss = loss + a * (whole @ weight.T - x @ (variable * mask).T).square().sum()
    loss.backward()
    # Where the gradient of a convex function is zero, it is least.
    assert variable.grad.abs().max() < 1e-8 * loss.item()


def test_a_single_level_shares_with_nobody():
    weight, x = weights(16, 12), correlated(100, 12)
    moments = Moments(weight)
    moments.add(x, x)
    mask = masks("8x1", weight, 0.5)
    shared = shared_least_squares([moments.gram], [moments.target], weight, [mask], [1.0], 1e-2)
    alone = least_squares(moments.gram, moments.target, weight, mask, 1e-2)
    torch.testing.assert_close(shared * mask, alone)
    torch.testing.assert_close(shared[~mask], weight[~mask])
