# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from omni_plugin import OmniError
from omni_plugin.layer_selection.selectors import SELECTORS, make_selector

NAMES = pytest.mark.parametrize("name", SELECTORS)


def selector(name: str, number: int = 12, smallest: int = 4, remove: int = 3, **options):
    return make_selector(name, number, smallest, remove, **options)


def rising(number: int = 12) -> torch.Tensor:
    """Scores in the order of the units."""
    return torch.linspace(-1, 1, number)


@NAMES
def test_iterations_remove_more_and_more_down_to_the_smallest(name):
    found = selector(name)
    assert [found.num_removed(i) for i in range(found.iterations)] == [3, 6, 8]


@NAMES
def test_all_units_start_alike(name):
    scores = torch.full((12,), selector(name).score_init)
    gates = selector(name).gates(scores, 0)
    soft = gates if name == "iterative_zero_out" else torch.tensor([0.0] * 3 + [1.0] * 9)
    assert torch.equal(gates, soft) and gates.mean() >= 0.75


def test_top_k_gates_are_the_highest_scores():
    found = selector("simple_top_k")
    for iteration, left in enumerate([9, 6, 4]):
        assert found.gates(rising(), iteration).tolist() == [0.0] * (12 - left) + [1.0] * left


def test_top_k_has_no_penalty_and_changes_no_score():
    found, scores = selector("simple_top_k"), rising()
    found.close(scores, 0)
    assert found.penalty(scores, 0) == 0.0 and torch.equal(scores, rising())


def test_zero_out_gates_are_sigmoids():
    found = selector("iterative_zero_out").gates(torch.tensor([-2.0, 0.0, 3.0]), 0)
    expected = [1 / (1 + math.exp(-s)) for s in (-2.0, 0.0, 3.0)]
    assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("iteration, removed", [(0, 3), (1, 6), (2, 8)])
def test_the_penalty_is_the_distance_to_the_iterations_sparsity(iteration, removed):
    found = selector("iterative_zero_out", penalty_weight=2.0)
    mean = sum(1 / (1 + math.exp(-s)) for s in rising().tolist()) / 12
    expected = 2.0 * abs((1 - mean) - removed / 12)
    assert float(found.penalty(rising(), iteration)) == pytest.approx(expected)


def test_closing_sets_the_lowest_scores():
    found, scores = selector("iterative_zero_out"), rising()
    found.close(scores, 0)
    assert scores[:3].tolist() == [-5.0] * 3 and torch.equal(scores[3:], rising()[3:])


def test_the_ranking_is_the_order_of_zeroing():
    """Whatever scores that were set do afterwards, as long as they stay the lowest."""
    found, scores = selector("iterative_zero_out"), rising().flip(0)
    found.close(scores, 0)
    assert found.ranking(scores) == list(range(11, -1, -1))
    scores[[11, 10, 9]] = torch.tensor([-4.0, -4.5, -4.9])
    found.close(scores, 1)
    assert found.ranking(scores)[:6] == [11, 10, 9, 8, 7, 6]


def test_a_zeroed_unit_can_come_back():
    found, scores = selector("iterative_zero_out"), rising()
    found.close(scores, 0)
    scores[1] = 5.0
    found.close(scores, 1)
    assert found.ranking(scores) == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1]


@NAMES
def test_a_selector_goes_on_from_its_state(name):
    one, other, scores = selector(name), selector(name), rising().flip(0)
    one.close(scores, 0)
    scores[[11, 10, 9]] = torch.tensor([-4.0, -4.5, -4.9])
    other.removed = list(one.removed)
    assert other.ranking(scores) == one.ranking(scores)
    rest = [scores.clone(), scores.clone()]
    one.close(rest[0], 1)
    other.close(rest[1], 1)
    assert torch.equal(*rest) and one.ranking(rest[0]) == other.ranking(rest[1])


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("random", {}, "selector 'random' is unknown; known: simple_top_k, iterative_zero_out"),
        ("simple_top_k", {"zero_out": -3.0}, "SimpleTopK has no option 'zero_out'; known: score"),
        ("simple_top_k", {"score_init": "a"}, "option score_init is 'a'; it must be of type float"),
        ("iterative_zero_out", {"penalty_weight": -1}, "penalty_weight is -1; it must be >= 0"),
    ],
)
def test_impossible_options_are_refused(name, options, said):
    with pytest.raises(OmniError, match=said) as e:
        selector(name, **options)
    assert "\n" not in str(e.value)
