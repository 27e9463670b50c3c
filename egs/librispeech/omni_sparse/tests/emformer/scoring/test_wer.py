# SPDX-License-Identifier: Apache-2.0
"""Word errors and the recogs-, errs- and wer-summary- files."""

import random

import kaldialign
import pytest

from emformer.errors import RecipeError
from emformer.scoring.wer import (
    Utterance,
    count_errors,
    read_recogs,
    write_errs,
    write_recogs,
    write_summary,
)


def random_utterances(n=40, seed=0):
    """Sentences over few words with random errors; some references and hypotheses are empty."""
    rng = random.Random(seed)
    words = ["ONE", "TWO", "THREE", "IT'S", "*", "SEVEN"]
    utterances = []
    for i in range(n):
        ref = rng.choices(words, k=rng.randrange(8))
        hyp = [w for w in ref if rng.random() > 0.2]
        for _ in range(rng.randrange(3)):
            hyp.insert(rng.randrange(len(hyp) + 1), rng.choice(words))
        utterances.append(Utterance(f"spk-{i:03d}", ref, hyp))
    return utterances


def section(text, title):
    """Lines of one part of an errs file."""
    lines = text.split("\n")
    begin = next(i for i, line in enumerate(lines) if line.startswith(title + ":"))
    end = lines.index("", begin) if "" in lines[begin:] else len(lines)
    return lines[begin + 1 : end]


def test_counts_are_those_of_kaldialign():
    utterances = random_utterances()
    expected = kaldialign.batch_error_rate([u.ref for u in utterances], [u.hyp for u in utterances])
    counts = count_errors(utterances)
    assert expected["ins"] > 0 and expected["del"] > 0 and expected["sub"] > 0
    assert (counts.ins, counts.dels, counts.subs) == tuple(
        expected[k] for k in ("ins", "del", "sub")
    )
    assert (counts.errors, counts.num_words) == (expected["total"], expected["ref_len"])
    assert counts.num_utts == 40
    assert counts.wer == pytest.approx(100 * expected["err_rate"])


def test_the_line_of_the_log_has_icefalls_form():
    counts = count_errors([Utterance("a", ["A", "B", "C", "D"], ["A", "X", "C", "D", "E"])])
    line = counts.line("test-clean-greedy_search")
    assert line == "[test-clean-greedy_search] %WER 50.00% [2 / 4, 1 ins, 0 del, 1 sub ]"


def test_no_reference_words_is_a_clear_error():
    with pytest.raises(RecipeError, match="no words"):
        count_errors([Utterance("a", [], ["A"])])


def test_recogs_lines_have_icefalls_form(tmp_path):
    path = tmp_path / "recogs-test-clean-x.txt"
    write_recogs(path, [Utterance("1089-0:x", ["IT'S", "A"], [])])
    assert path.read_text() == "1089-0:x:\tref=[\"IT'S\", 'A']\n1089-0:x:\thyp=[]\n"


def test_recogs_are_read_back_as_written(tmp_path):
    utterances = random_utterances() + [Utterance("a:\tb", ["X=[1]"], ["ref=['Y']"])]
    write_recogs(tmp_path / "new folder" / "recogs.txt", utterances)
    assert read_recogs(tmp_path / "new folder" / "recogs.txt") == utterances
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["recogs.txt"]


def test_timestamps_of_icefall_are_skipped(tmp_path):
    path = tmp_path / "recogs.txt"
    path.write_text("a:\tref=['A']\na:\thyp=['B']\na:\ttimestamp_hyp=[0.040]\n")
    assert read_recogs(path) == [Utterance("a", ["A"], ["B"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\tref=['A']\n", "no pair of ref and hyp for a"),
        ("", "no pair of ref and hyp"),
        ("a:\tref=['A']\na:\thyp=['A'\n", "line 2"),
        ("a:\tref=['A']\na:\thyp=[1]\n", "line 2"),
        ("a:\tref=['A']\na:\tref=['A']\n", "line 2"),
        ("%WER = 3.00\n", "line 1"),
        ("a:\tref=__import__('os')\n", "line 1"),
    ],
)
def test_a_broken_recogs_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "recogs.txt"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as e:
        read_recogs(path)
    assert str(path) in str(e.value) and "\n" not in str(e.value)


def test_a_missing_recogs_file_is_refused_in_one_line(tmp_path):
    with pytest.raises(RecipeError, match="none.txt"):
        read_recogs(tmp_path / "none.txt")


def test_errs_file_marks_runs_of_errors(tmp_path):
    utterances = [
        Utterance("a", ["FOR", "THE", "FIRST", "DAY", "SIR", "I"], ["FOR", "DAY", "I", "X"]),
        Utterance("b", ["OF", "EDISON", "ONE"], ["OF", "A", "SON", "ONE"]),
    ]
    counts = write_errs(tmp_path / "errs.txt", utterances)
    text = (tmp_path / "errs.txt").read_text()
    lines = text.split("\n")
    assert lines[0] == f"%WER = {counts.wer:.2f}"
    assert lines[1] == (
        "Errors: 2 insertions, 3 deletions, 1 substitutions, over 9 reference words (5 correct)"
    )
    details = section(text, "PER-UTT DETAILS")
    assert details[0] == "a:\tFOR (THE FIRST->*) DAY (SIR->*) I (*->X)"
    assert details[1] == "b:\tOF (EDISON->A SON) ONE"


def test_errs_lists_agree_with_the_counts(tmp_path):
    utterances = random_utterances(seed=3)
    counts = write_errs(tmp_path / "errs.txt", utterances)
    assert counts == count_errors(utterances)
    text = (tmp_path / "errs.txt").read_text()
    for title, expected in (
        ("SUBSTITUTIONS", counts.subs),
        ("DELETIONS", counts.dels),
        ("INSERTIONS", counts.ins),
    ):
        listed = [int(line.split()[0]) for line in section(text, title)]
        assert sum(listed) == expected
        assert listed == sorted(listed, reverse=True)
    words = [line.split() for line in section(text, "PER-WORD STATS") if line]
    table = {word: list(map(int, numbers)) for word, *numbers in words}
    for word, (correct, errors, in_ref, in_hyp) in table.items():
        assert in_ref == sum(u.ref.count(word) for u in utterances)
        assert in_hyp == sum(u.hyp.count(word) for u in utterances)
        assert errors == in_ref + in_hyp - 2 * correct
    assert set(table) == {w for u in utterances for w in u.ref + u.hyp}


def test_summary_puts_the_best_setting_first(tmp_path):
    write_summary(tmp_path / "s.txt", {"greedy_search": 10.0, "beam_size_4": 9.5})
    assert (tmp_path / "s.txt").read_text() == (
        "settings\tWER\nbeam_size_4\t9.50\ngreedy_search\t10.00\n"
    )


def test_a_failed_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "recogs.txt"
    write_recogs(path, [Utterance("a", ["A"], ["A"])])
    before = path.read_text()

    def breaks():
        yield Utterance("b", ["B"], ["B"])
        raise RuntimeError("the decoder died")

    with pytest.raises(RuntimeError):
        write_recogs(path, breaks())
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]
