# SPDX-License-Identifier: Apache-2.0
"""Fronts, their areas, their files, and what is read off them."""

import random

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from omni_plugin.errors import OmniError
from omni_plugin.search import (
    FrontPoint,
    area,
    best_under,
    front,
    named_point,
    read_front,
    write_front,
)
from omni_plugin.search.front import best
from omni_plugin.search.rank_correlation import rank_correlation, ranks


def cloud(seed: int, number: int = 60) -> list[tuple[float, float]]:
    rng = random.Random(seed)
    return [(rng.randrange(20), rng.randrange(20)) for _ in range(number)]


@pytest.mark.parametrize("seed", range(5))
def test_a_front_is_what_nothing_is_better_than(seed):
    points = cloud(seed)

    def beaten(p):
        return any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)

    found = [points[i] for i in front(points)]
    assert found == sorted({p for p in points if not beaten(p)})


@pytest.mark.parametrize("seed", range(5))
def test_an_area_is_optunas_hypervolume(seed):
    points, corner = cloud(seed), (15.0, 12.0)
    # Optuna wants no points beyond the corner.
    inside = np.array([p for p in points if p[0] <= corner[0] and p[1] <= corner[1]], float)
    assert area(points, corner) == compute_hypervolume(inside, np.array(corner))


def test_the_best_are_whole_fronts_one_after_another():
    points = [(1, 3), (3, 1), (2, 4), (4, 2), (5, 5)]
    assert best("abcde", points, 1) == ["a", "b"]
    assert best("abcde", points, 3) == ["a", "b", "c", "d"]
    assert sorted(best("abcde", points, 9)) == list("abcde")


def test_ranks_correlate_as_in_spearmans_formula():
    a, b = random.Random(0).sample(range(100), 20), random.Random(1).sample(range(100), 20)
    squares = sum((x - y) ** 2 for x, y in zip(ranks(a), ranks(b), strict=True))
    assert rank_correlation(a, b) == pytest.approx(1 - 6 * squares / (20 * (20**2 - 1)))


def test_ties_share_a_rank():
    # By hand: ranks 1.5 1.5 3 and 2 1 3, their covariance 0.75, variances 0.75 and 1.
    assert rank_correlation([1, 1, 5], [3, 2, 9]) == pytest.approx(0.75 / (0.75 * 1) ** 0.5)


# Files.

POINTS = [
    FrontPoint(f"front/{n}", {"w": 0.9}, {"wer": 20.0 - n}, {"params": 600 + 100 * n, "ms": 9})
    for n in range(4)
]


def test_a_front_is_read_as_it_was_written(tmp_path):
    write_front(tmp_path / "front.json", POINTS, {"made_of": {"weights": "a1"}})
    assert read_front(tmp_path / "front.json") == (POINTS, {"made_of": {"weights": "a1"}})
    assert [path.name for path in tmp_path.iterdir()] == ["front.json"]


def test_a_point_is_found_by_its_name():
    assert named_point(POINTS, "front/2") is POINTS[2]


def test_an_unknown_name_is_an_error_with_the_known_ones():
    with pytest.raises(OmniError, match="'front/9'; the front has front/0 to front/3"):
        named_point(POINTS, "front/9")


def test_the_best_under_a_budget_is_found():
    assert best_under(POINTS, {"params": 850}, "wer") is POINTS[2]
    assert best_under(POINTS, {"params": 800, "ms": 9}, "wer") is POINTS[2]


def test_a_budget_that_nothing_meets_names_the_closest():
    with pytest.raises(OmniError, match="at most 500 params; the closest is front/0 with 600 par"):
        best_under(POINTS, {"params": 500}, "wer")
    with pytest.raises(OmniError, match="700 params, 5 ms; the closest is front/0"):
        best_under(POINTS, {"params": 700, "ms": 5}, "wer")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"points": [{"name": "a"}]}'])
def test_what_is_no_front_is_refused(tmp_path, text):
    path = tmp_path / "front.json"
    path.write_text(text)
    with pytest.raises(OmniError, match="front.json: not a front"):
        read_front(path)


def test_a_front_that_is_missing_is_an_error_of_one_line(tmp_path):
    with pytest.raises(OmniError, match="front.json: no such front; search first"):
        read_front(tmp_path / "front.json")
