# SPDX-License-Identifier: Apache-2.0
"""Scores are measured once, whatever happens, and on all data for the best only."""

import pytest

from omni_plugin.search import Evaluator, Rung
from omni_plugin.search.estimate import estimates
from omni_plugin.search.evaluator import successive_halving
from omni_plugin.search.score_file import Measured, ScoreFile
from tests.support.search_toy import COST, RUNGS, Counting, harm, measure, space

FIRST, ALL, WER = RUNGS
VECTORS = [space().uniform(n / 10) for n in range(10)]


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def evaluator(counting, tmp_path):
    return Evaluator(counting, tmp_path / "scores.jsonl")


def test_a_score_is_over_all_its_parts_together(evaluator):
    assert evaluator.score(VECTORS[3], ALL) == pytest.approx(harm(VECTORS[3]))
    assert evaluator.score(VECTORS[3], FIRST) == pytest.approx(harm(VECTORS[3]) + 0.5)
    assert evaluator.score(VECTORS[3], WER) == pytest.approx(2 * harm(VECTORS[3]))


def test_nothing_is_measured_twice(evaluator, counting):
    for _ in range(2):
        for rung in RUNGS:
            evaluator.score(VECTORS[3], rung)
    assert counting.measured == [
        (VECTORS[3], metric, part) for metric in ("loss", "wer") for part in (0, 1)
    ]


def test_what_another_process_has_measured_is_not_measured_again(evaluator, counting, tmp_path):
    evaluator.score(VECTORS[1], FIRST)
    other = Evaluator(measure, tmp_path / "scores.jsonl")
    other.score_all(VECTORS[:3], ALL)
    assert evaluator.score_all(VECTORS[:3], ALL) == pytest.approx([harm(v) for v in VECTORS[:3]])
    assert counting.measured == [(VECTORS[1], "loss", 0)]


def test_processes_begin_at_different_places_and_score_all(evaluator, counting):
    expected = [harm(vector) for vector in VECTORS]
    assert evaluator.score_all(VECTORS, Rung("loss", 2), start=4) == pytest.approx(expected)
    assert [vector for vector, _, part in counting.measured if part == 0] == [
        *VECTORS[4:], *VECTORS[:4]
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_cut_off_by_an_interruption_is_measured_again(tmp_path, counting, cut):
    path = tmp_path / "scores.jsonl"
    Evaluator(measure, path).score_all(VECTORS[:2], FIRST)
    path.write_bytes(path.read_bytes()[:-cut])
    for _ in range(2):  # the second reads what the first has written behind the torn line
        again = Evaluator(counting, path)
        assert again.score_all(VECTORS[:2], FIRST) == [harm(v) + 0.5 for v in VECTORS[:2]]
    assert counting.measured == [(VECTORS[1], "loss", 0)]


def test_measurements_are_kept_to_the_last_bit(tmp_path):
    what, found = Measured((0.1, 1 / 3), "loss", 0), (1e17 / 3, 7)
    ScoreFile(tmp_path / "s.jsonl").add(what, *found)
    assert ScoreFile(tmp_path / "s.jsonl").get(what) == found


# Successive halving.


def test_the_best_are_scored_on_all_data_and_others_are_not(evaluator, counting):
    good = VECTORS
    bad = [space().on_grid([0.9 - 0.05 * n, 0.9, 0, 0, 0, 0.9]) for n in range(20)]
    found = successive_halving([*bad, *good], COST, evaluator, RUNGS, keep=1 / 3)
    assert set(found) <= set(good)
    assert {vector for vector, _, part in counting.measured if part == 1} <= set(good)
    assert {vector for vector, _, _ in counting.measured} == {*good, *bad}


def test_all_that_is_kept_has_the_last_score(evaluator, counting):
    found = successive_halving(VECTORS, COST, evaluator, RUNGS, keep=1.0)
    assert found == VECTORS
    assert sum(metric == "wer" for _, metric, _ in counting.measured) == 2 * len(VECTORS)


# Estimates.


def test_an_estimate_lies_between_what_was_measured_and_the_line_of_the_proxy():
    proxies, scores = [1.0, 2.0, 3.0, 4.0], [11.0, 18.0, 33.0, 38.0]
    line = [10.0, 20.0, 30.0, 40.0]  # least squares, by hand: slope 9.6 and offset 1
    line = [1.0 + 9.6 * x for x in proxies]
    expected = [(a + b) / 2 for a, b in zip(scores, line, strict=True)]
    assert estimates(scores, proxies) == pytest.approx(expected)


def test_a_proxy_that_tells_nothing_changes_nothing():
    assert estimates([3.0, 1.0, 2.0], [5.0, 5.0, 5.0]) == [3.0, 1.0, 2.0]
