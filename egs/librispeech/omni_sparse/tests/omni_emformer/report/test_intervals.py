# SPDX-License-Identifier: Apache-2.0
"""Intervals over utterances and seeds."""

import numpy as np
import pytest

from emformer.scoring.bootstrap import paired_difference
from emformer.scoring.wer import Utterance
from omni_emformer.report.intervals import ratio_interval

# The 0.975 quantiles of Student's t distribution with 1 and 2 degrees of freedom, of any table.
T1, T2 = 12.706, 4.303


def texts(wrong: list[int], words: list[int]) -> list[Utterance]:
    """Utterances of so many words, of which so many are wrong."""
    return [
        Utterance(str(n), ["A"] * all_, ["A"] * (all_ - bad) + ["B"] * bad)
        for n, (bad, all_) in enumerate(zip(wrong, words, strict=True))
    ]


def test_of_one_seed_it_is_the_paired_bootstrap_over_utterances():
    rng = np.random.default_rng(3)
    words = rng.integers(3, 9, 50)
    a, b = rng.integers(0, 3, 50), rng.integers(0, 4, 50)
    expected = paired_difference(texts(a, words), texts(b, words))
    found = ratio_interval(100.0 * (b - a)[None], words[None])
    assert found.mean == pytest.approx(expected.mean)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_mean_is_over_all_seeds_and_words():
    errors, words = np.array([[1.0, 0, 2], [3.0, 0, 0]]), np.array([[4, 2, 4]] * 2)
    assert ratio_interval(errors, words).mean == pytest.approx((3 + 3) / 2 / 10)


@pytest.mark.parametrize("rates, t", [([0.1, 0.3], T1), ([0.1, 0.2, 0.6], T2)])
def test_where_utterances_are_alike_it_is_students_interval_over_seeds(rates, t):
    errors = np.array([[10 * rate] * 40 for rate in rates])
    found = ratio_interval(errors, np.full(errors.shape, 10))
    half = t * np.std(rates, ddof=1) / np.sqrt(len(rates))
    assert found.mean == pytest.approx(np.mean(rates))
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), rel=0.1)


def test_seeds_that_agree_leave_what_utterances_leave_unsure():
    errors = np.random.default_rng(0).integers(0, 3, 60).astype(float)
    words = np.full(60, 6)
    one = ratio_interval(errors[None], words[None])
    three = ratio_interval(np.stack([errors] * 3), np.stack([words] * 3))
    assert three == one


def test_a_ratio_of_errors_is_relative_to_the_other_network():
    rng = np.random.default_rng(1)
    theirs = rng.integers(1, 5, (3, 80)).astype(float)
    found = ratio_interval(0.9 * theirs - theirs, theirs)
    assert (found.mean, found.low, found.high) == pytest.approx((-0.1, -0.1, -0.1), abs=1e-6)


def test_draws_without_a_word_have_no_rate():
    """Of two utterances, one without words, a quarter of the draws have none."""
    found = ratio_interval(np.array([[1.0, 7.0]]), np.array([[4, 0]]))
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 0.25, 2.0))


def test_draws_in_which_the_other_network_has_no_error_have_no_ratio():
    found = ratio_interval(np.array([[1.0, 1.0]]), np.array([[2.0, 0.0]]))
    assert (found.mean, found.low, found.high) == pytest.approx((1.0, 0.5, 1.0))
