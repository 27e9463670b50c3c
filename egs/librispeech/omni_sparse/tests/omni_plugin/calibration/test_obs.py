# SPDX-License-Identifier: Apache-2.0
"""The greedy order of removal, against removal one by one with all weights solved anew."""

from __future__ import annotations

import pytest
import torch

from omni_plugin.calibration import obs
from omni_plugin.calibration.least_squares import damping_of, least_squares
from omni_plugin.calibration.obs import obs_scores
from omni_plugin.calibration.scores import wanda_scores
from omni_plugin.patterns import make_pattern
from tests.support.calibration_toys import correlated, weights

DAMPING = 1e-2


def cost(weight, gram, mask):
    """Squared error, with the damping's, of the best weights on a mask."""
    found = least_squares(gram, weight @ gram, weight, mask, DAMPING)
    extra = damping_of(gram, DAMPING)
    apart = found - weight
    return float(((apart @ gram + extra * apart) * apart).sum())


def exhaustive(weight, gram, pattern, count):
    """Blocks of one group in the order in which each removal costs least, and what it costs."""
    kept = torch.ones(pattern.grid(weight.shape), dtype=torch.bool)
    before, order = 0.0, []
    for _ in range(count):
        costs = {}
        for block in kept[0].nonzero()[:, 0].tolist():
            trial = kept.clone()
            trial[0, block] = False
            costs[block] = cost(weight, gram, pattern.expand(trial, weight.shape))
        best = min(costs, key=costs.get)
        order.append((best, costs[best] - before))
        before = costs[best]
        kept[0, best] = False
    return order


@pytest.mark.parametrize("name, inputs", [("8x1", 14), ("4x2", 16), ("8x4", 18), ("1x1", 10)])
def test_the_order_is_that_of_removing_one_block_at_a_time_and_solving_anew(name, inputs):
    pattern = make_pattern(name)
    x, weight = correlated(100, inputs), weights(pattern.rows, inputs)
    gram = x.T @ x
    blocks = inputs // pattern.cols
    order = exhaustive(weight, gram, pattern, blocks)
    scores = obs_scores(weight, gram, pattern, DAMPING)
    assert scores[0].argsort().tolist() == [block for block, _ in order]
    worst, expected = 0.0, torch.empty(blocks, dtype=torch.float64)
    for block, error in order:
        worst = expected[block] = max(worst, error)
    torch.testing.assert_close(scores[0], expected, rtol=1e-6, atol=0)


def test_groups_of_rows_are_ranked_apart():
    pattern = make_pattern("8x1")
    x, weight = correlated(100, 14), weights(24, 14)
    together = obs_scores(weight, x.T @ x, pattern, DAMPING)
    apart = [obs_scores(rows, x.T @ x, pattern, DAMPING) for rows in weight.split(8)]
    torch.testing.assert_close(together, torch.cat(apart))


def test_few_groups_at_once_give_what_all_give(monkeypatch):
    x, weight = correlated(100, 14), weights(40, 14)
    expected = obs_scores(weight, x.T @ x, make_pattern("8x1"), DAMPING)
    monkeypatch.setattr(obs, "_MEMORY", 1)
    found = obs_scores(weight, x.T @ x, make_pattern("8x1"), DAMPING)
    torch.testing.assert_close(found, expected)


def test_weights_outside_whole_blocks_make_good_for_others():
    """3 columns and 2 rows are in no block."""
    pattern = make_pattern("8x4")
    x, weight = correlated(100, 15), weights(10, 15)
    gram = x.T @ x
    order = exhaustive(weight[:8], gram, pattern, 3)
    scores = obs_scores(weight, gram, pattern, DAMPING)
    assert scores.shape == (1, 3)
    assert scores[0].argsort().tolist() == [block for block, _ in order]


def test_several_removals_a_round_cost_little_more_than_one():
    """192 blocks: 6 a round."""
    pattern = make_pattern("8x1")
    x, weight = correlated(400, 192), weights(32, 192)
    gram = x.T @ x

    def cost_at(scores, level):
        keep = pattern.keep(pattern.rank(scores), level)
        return cost(weight, gram, pattern.expand(keep, weight.shape))

    found = obs_scores(weight, gram, pattern, DAMPING)
    exact = _one_a_round(weight, gram, pattern)
    for level in (0.3, 0.5, 0.7, 0.9):
        assert cost_at(found, level) < 1.02 * cost_at(exact, level)
        assert cost_at(found, level) < 0.9 * cost_at(pattern.scores(weight).double(), level)


def _one_a_round(weight, gram, pattern):
    extra = damping_of(gram, DAMPING) * torch.eye(len(gram), dtype=gram.dtype)
    found = []
    for rows in weight.split(pattern.rows):
        rows, inverse = rows.clone(), torch.linalg.inv(gram + extra)
        scores, worst = torch.empty(gram.size(0), dtype=gram.dtype), 0.0
        alive = torch.ones(len(gram), dtype=torch.bool)
        for _ in range(len(gram)):
            errors = rows.square().sum(0) / inverse.diagonal()
            errors[~alive] = float("inf")
            column = int(errors.argmin())
            worst = scores[column] = max(worst, float(errors[column]))
            row = inverse[column] / inverse[column, column]
            rows = rows - torch.outer(rows[:, column], row)
            inverse = inverse - torch.outer(inverse[:, column], row)
            inverse[column, column] = 1.0  # removed; never looked at again
            alive[column] = False
        found.append(scores)
    return torch.stack(found)


@pytest.mark.parametrize("name", ["2:4", "1:4", "3:8"])
def test_n_m_leaves_n_of_each_m_and_takes_first_what_costs_least(name):
    pattern = make_pattern(name)
    x, weight = correlated(100, 16), weights(6, 16)
    gram = x.T @ x
    scores = obs_scores(weight, gram, pattern, DAMPING)
    left = torch.isinf(scores).view(6, -1, pattern.m).sum(2)
    assert (left == pattern.n).all()
    first = int(scores[0].argmin())
    single = exhaustive(weight[:1], gram, make_pattern("1x1"), 1)[0][0]
    assert first == single
    level = 1 - pattern.n / pattern.m
    keep = pattern.expand(pattern.keep(pattern.rank(scores), level), weight.shape)
    plain = pattern.expand(pattern.keep(pattern.rank_weight(weight), level), weight.shape)
    assert cost(weight, gram, keep) < cost(weight, gram, plain)


def test_two_inputs_that_say_the_same_are_not_both_removed():
    x, weight = correlated(200, 8), weights(8, 8) + 1
    x[:, 5] = x[:, 2]
    scores = obs_scores(weight, x.T @ x, make_pattern("8x1"), 1e-6)
    assert sorted([scores[0, 2], scores[0, 5]])[0] < 1e-3 * scores[0].max()
    assert sorted([scores[0, 2], scores[0, 5]])[1] > 0.05 * scores[0].max()


def test_an_input_that_is_always_zero_goes_first():
    x, weight = correlated(50, 10), weights(16, 10)
    x[:, 4] = 0
    scores = obs_scores(weight, x.T @ x, make_pattern("8x1"), DAMPING)
    assert (scores.argmin(1) == 4).all()


def test_wanda_is_weight_times_norm_of_the_input():
    x, weight = correlated(50, 6), weights(16, 6)
    scores = wanda_scores(weight, x.T @ x, make_pattern("8x1"))
    expected = [
        [(sum((float(weight[8 * g + r, c]) * float(x[:, c].norm())) ** 2 for r in range(8)) / 8)
         ** 0.5 for c in range(6)] for g in range(2)
    ]  # fmt: skip
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64))
