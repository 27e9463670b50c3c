# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of a WER and of a difference of two."""

import numpy as np
import pytest

from emformer.errors import RecipeError
from emformer.scoring.bootstrap import pair_up, paired_difference, wer_interval
from emformer.scoring.wer import Utterance, count_errors, write_recogs
from tests.support.processes import run_module


def system(error_rate, n=200, words=10, seed=0, with_errors_of=None):
    """Utterances of equal references in which each word is wrong with one probability."""
    rng = np.random.default_rng(seed)
    wrong = rng.random((n, words)) < error_rate
    if with_errors_of is not None:
        wrong |= [[h == "X" for h in u.hyp] for u in with_errors_of]
    ref = [f"W{i}" for i in range(words)]
    return [
        Utterance(f"u{i:04d}", ref, ["X" if bad else w for bad, w in zip(row, ref, strict=True)])
        for i, row in enumerate(wrong)
    ]


def test_interval_holds_the_measured_wer_and_has_the_width_of_theory():
    utterances = system(0.1)
    low, high = wer_interval(utterances)
    wer = count_errors(utterances).wer
    assert low < wer < high
    per_utterance = [10.0 * u.hyp.count("X") for u in utterances]
    half_width = 1.96 * np.std(per_utterance) / np.sqrt(200)
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.05)


def test_interval_covers_the_true_wer_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        low, high = wer_interval(system(0.1, n=100, seed=seed), replications=500, seed=seed)
        covered += low <= 10.0 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_difference_covers_the_true_difference_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        a = system(0.1, n=100, seed=seed)
        b = system(0.05, n=100, seed=1000 + seed, with_errors_of=a)  # 0.9 * 5 % more errors
        d = paired_difference(a, b, replications=500, seed=seed)
        covered += d.low <= 4.5 <= d.high
    assert 0.90 <= covered / 200 <= 0.99


def test_draws_without_a_word_are_left_out():
    """Of two utterances, one without words, a quarter of the draws have none."""
    a = [Utterance("long", ["A"] * 4, ["A"] * 4), Utterance("none", [], [])]
    b = [Utterance("long", ["A"] * 4, ["B"] + ["A"] * 3), Utterance("none", [], ["A"] * 7)]
    d = paired_difference(a, b)
    # 1 or 8 or 15 more errors over 4 words, and 2 over 8.
    assert d.mean == pytest.approx(200.0)
    assert (d.low, d.high) == pytest.approx((25.0, 200.0))
    assert d.p_b_better == 0.0


def test_difference_is_that_of_the_two_wers():
    a, b = system(0.1), system(0.2, seed=1)
    d = paired_difference(a, b)
    assert d.mean == pytest.approx(count_errors(b).wer - count_errors(a).wer)
    assert d.low < d.mean < d.high
    assert d.p_b_better == 0.0
    assert paired_difference(b, a).p_b_better == 1.0


def test_identical_systems_differ_by_nothing():
    d = paired_difference(system(0.1), system(0.1))
    assert (d.mean, d.low, d.high, d.p_b_better) == (0.0, 0.0, 0.0, 0.0)


def test_pairing_makes_the_interval_of_like_systems_narrow():
    a = system(0.1)
    b = system(0.005, seed=1, with_errors_of=a)
    d = paired_difference(a, b)
    low, high = wer_interval(a)
    assert d.low > 0.0  # half a percent is significant when nearly all errors are shared
    assert d.high - d.low < (high - low) / 2


def test_the_same_seed_gives_the_same_interval():
    a, b = system(0.1), system(0.11, seed=1)
    assert paired_difference(a, b, seed=3) == paired_difference(a, b, seed=3)
    assert paired_difference(a, b, seed=3) != paired_difference(a, b, seed=4)


def test_blocks_of_replications_cover_all(monkeypatch):
    drawn = []
    percentile = np.percentile
    monkeypatch.setattr(np, "percentile", lambda x, q: drawn.append(len(x)) or percentile(x, q))
    monkeypatch.setattr("emformer.scoring.bootstrap._DRAWS_AT_ONCE", 700)
    paired_difference(system(0.1), system(0.2), replications=1001)
    assert drawn == [1001]


def test_pairing_sorts_both_alike_and_refuses_what_differs():
    a, b = system(0.1, n=3), system(0.2, n=3)[::-1]
    paired_a, paired_b = pair_up(a, b)
    assert [u.id for u in paired_a] == [u.id for u in paired_b] == ["u0000", "u0001", "u0002"]
    with pytest.raises(RecipeError, match="'u0000' in A"):
        pair_up(a, b[:2], "A", "B")
    changed = [b[0], b[1]._replace(ref=["OTHER"]), b[2]]
    with pytest.raises(RecipeError, match="utterance 'u0001' differ"):
        pair_up(a, changed)
    with pytest.raises(ValueError, match="same utterances"):
        paired_difference(a, changed)


def command(*args):
    return run_module("emformer.bootstrap", *args, check=False)


def test_command_line_prints_one_table(tmp_path):
    a, b = system(0.1), system(0.2, seed=1)
    write_recogs(tmp_path / "a.txt", a)
    write_recogs(tmp_path / "b.txt", b)
    done = command(tmp_path / "a.txt", tmp_path / "b.txt", "--replications", 500)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert lines[1].split()[:5] == ["A", "200", "2000", str(count_errors(a).errors)] + [
        f"{count_errors(a).wer:.2f}"
    ]
    assert lines[3].split()[:3] == ["B", "-", "A"]


def test_command_line_refuses_files_of_different_utterances_in_one_line(tmp_path):
    write_recogs(tmp_path / "a.txt", system(0.1))
    write_recogs(tmp_path / "b.txt", system(0.1)[1:])
    done = command(tmp_path / "a.txt", tmp_path / "b.txt")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "u0000" in done.stderr


def test_command_line_refuses_three_files(tmp_path):
    assert command("a", "b", "c").returncode == 2
