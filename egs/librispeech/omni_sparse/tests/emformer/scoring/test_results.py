# SPDX-License-Identifier: Apache-2.0
"""results.jsonl: what is written is read back, whole lines only."""

import dataclasses
import json
import multiprocessing

import pytest

from emformer.errors import RecipeError
from emformer.scoring.results import Result, append_result, read_results


def result(**changes):
    values = {
        "system": "dense",
        "corpus": "synthetic",
        "split": "test-clean",
        "method": "greedy_search",
        "mode": "simulated",
        "chunk_ms": 320,
        "right_context_ms": 80,
        "left_context_ms": 960,
        "wer": 12.5,
        "ins": 1,
        "del_": 2,
        "sub": 3,
        "num_words": 48,
        "num_utts": 9,
        "num_params": 1000,
        "num_nonzero": 990,
        "sparsity": 0.0,
        "levels": [0.0, 0.0],
        "train_updates": 100,
        "train_passes": 100,
        "train_seconds": 12.5,
        "seed": 42,
        "checkpoint": "exp/epoch-8.pt",
        "config": "small",
        "git_revision": None,
        "rtf": 0.01,
        "wer_ci95": [10.0, 15.0],
    }
    return Result(**{**values, **changes})


def test_a_line_has_the_agreed_fields(tmp_path):
    append_result(tmp_path / "results.jsonl", result())
    line = json.loads((tmp_path / "results.jsonl").read_text())
    names = """system corpus split method mode chunk_ms right_context_ms left_context_ms wer ins del
        sub num_words num_utts num_params num_nonzero sparsity levels train_updates train_passes
        train_seconds seed checkpoint config git_revision rtf wer_ci95 subnet settings weights
        recogs train_cost normalization references"""
    assert list(line) == names.split()
    assert line["del"] == 2


def test_results_are_read_back_in_order(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    results = [result(split=split) for split in ("test-clean", "test-other", "dev")]
    for r in results:
        append_result(path, r)
    assert read_results(path) == results


def test_a_torn_last_line_is_skipped_with_a_warning_and_costs_nothing_else(tmp_path, caplog):
    path = tmp_path / "results.jsonl"
    append_result(path, result(split="first"))
    append_result(path, result(split="torn"))
    path.write_bytes(path.read_bytes()[:-40])
    assert [r.split for r in read_results(path)] == ["first"]
    assert "line 2" in caplog.text
    append_result(path, result(split="after"))
    assert [r.split for r in read_results(path)] == ["first", "after"]


@pytest.mark.parametrize("line", [b"[1, 2]", b'{"system": "dense"}', b"\xff\xfe", b"null"])
def test_a_line_that_is_no_result_is_skipped(tmp_path, caplog, line):
    path = tmp_path / "results.jsonl"
    append_result(path, result())
    with path.open("ab") as f:
        f.write(line + b"\n")
    assert read_results(path) == [result()]
    assert "line 2" in caplog.text


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(RecipeError, match="results.jsonl"):
        read_results(tmp_path / "results.jsonl")


def test_numbers_that_json_has_not_are_refused_before_writing(tmp_path):
    with pytest.raises(ValueError):
        append_result(tmp_path / "results.jsonl", result(wer=float("nan")))
    assert not (tmp_path / "results.jsonl").exists()


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="streaming"):
        result(mode="streaming")


def _append_many(path, split):
    for i in range(50):
        append_result(path, result(split=split, ins=i))


def test_two_writers_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "results.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(path, s)) for s in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = read_results(path)
    assert len(found) == 100
    assert [r.ins for r in found if r.split == "a"] == list(range(50))


def test_every_field_is_written():
    assert len(result().to_dict()) == len(dataclasses.fields(Result))
