# SPDX-License-Identifier: Apache-2.0
"""Layer norms with the whole model's means and variances."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from omni_plugin.calibration.norm_moments import NormMoments
from tests.support.calibration_toys import correlated


def test_outputs_have_the_whole_models_means_and_variances():
    whole, pruned = correlated(300, 16), correlated(300, 16, 5)
    weight, bias = correlated(2, 16, 9).abs() + 0.5
    moments = NormMoments(16, 1e-5)
    for start in (0, 100, 170):
        end = {0: 100, 100: 170, 170: 300}[start]
        moments.add(whole[start:end], pruned[start:end])
    new_weight, new_bias = moments.matched(weight, bias)
    expected = F.layer_norm(whole, (16,), weight, bias)
    found = F.layer_norm(pruned, (16,), new_weight, new_bias)
    torch.testing.assert_close(found.mean(0), expected.mean(0))
    torch.testing.assert_close(found.var(0), expected.var(0))


def test_the_same_inputs_change_nothing():
    x, weight, bias = correlated(300, 16), torch.rand(16).double(), torch.rand(16).double()
    moments = NormMoments(16, 1e-5)
    moments.add(x, x)
    found = moments.matched(weight, bias)
    torch.testing.assert_close(found, (weight, bias))


def test_a_channel_that_does_not_vary_keeps_its_weight():
    whole, weight, bias = correlated(50, 4), torch.full((4,), 2.0), torch.zeros(4)
    moments = NormMoments(4, 1e-5)
    moments.add(whole, torch.ones(50, 1).double() * torch.arange(4.0))
    found, _ = moments.matched(weight, bias)
    torch.testing.assert_close(found, weight.double())
