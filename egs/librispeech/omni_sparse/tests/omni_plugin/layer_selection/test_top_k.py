# SPDX-License-Identifier: Apache-2.0
"""The differentiable top-k, against a reference in plain Python and finite differences."""

import math

import pytest
import torch

from omni_plugin.layer_selection.top_k import ascending, hard_top_k, relaxed_top_k

SCORES = [0.3, -1.2, 2.0, 0.3, 0.9, -0.1]


def _reference(scores: list[float], k: int) -> list[float]:
    """Successive softmaxes, each over what the earlier ones left."""
    weights = [math.exp(s) for s in scores]
    total = [0.0] * len(scores)
    for _ in range(k):
        shares = [w / sum(weights) for w in weights]
        total = [t + share for t, share in zip(total, shares, strict=True)]
        weights = [w * (1 - share) for w, share in zip(weights, shares, strict=True)]
    return total


@pytest.mark.parametrize("k", range(6))
def test_the_relaxation_is_that_of_successive_softmaxes(k):
    found = relaxed_top_k(torch.tensor(SCORES, dtype=torch.float64), k)
    torch.testing.assert_close(found, torch.tensor(_reference(SCORES, k), dtype=torch.float64))
    assert float(found.sum()) == pytest.approx(k)


@pytest.mark.parametrize("k", range(1, 7))
def test_the_relaxation_keeps_the_order_of_the_scores(k):
    scores = torch.randn(12, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    assert torch.equal(relaxed_top_k(scores, k).argsort(), scores.argsort())


@pytest.mark.parametrize("k", range(7))
def test_the_hard_choice_is_exactly_the_k_highest(k):
    scores = torch.tensor(SCORES, requires_grad=True)
    hard = hard_top_k(scores, k)
    assert set(hard.tolist()) <= {0.0, 1.0} and int(hard.sum()) == k
    assert set(hard.nonzero().flatten().tolist()) == set(ascending(scores)[6 - k :].tolist())


def test_equal_scores_are_ranked_in_their_order():
    assert ascending(torch.tensor([1.0, 0.5, 1.0, 0.5])).tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_gradient_of_the_hard_choice_is_the_relaxations(k):
    """By central differences of the reference."""
    scores = torch.tensor(SCORES, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, 1.5], dtype=torch.float64)
    (hard_top_k(scores, k) * weights).sum().backward()
    for i in range(6):
        values = []
        for step in (1e-5, -1e-5):
            moved = [s + step * (n == i) for n, s in enumerate(SCORES)]
            pairs = zip(_reference(moved, k), weights.tolist(), strict=True)
            values.append(sum(h * w for h, w in pairs))
        assert float(scores.grad[i]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("spread", [50.0, 1000.0])
def test_far_scores_give_finite_values_and_gradients(spread):
    scores = torch.linspace(-spread, spread, 12, requires_grad=True)
    chosen = hard_top_k(scores, 5)
    (chosen * torch.arange(12.0)).sum().backward()
    assert chosen.tolist() == [0.0] * 7 + [1.0] * 5
    assert torch.isfinite(scores.grad).all()
