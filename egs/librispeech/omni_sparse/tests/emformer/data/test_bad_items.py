# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from emformer.data.bad_items import MAX_NAMED, BadItems
from emformer.errors import RecipeError


def three() -> BadItems:
    bad = BadItems("train")
    bad.add("unreadable", "u1", "a.flac")
    bad.add("sample rate 8000 (want 16000)", "u2", "b.flac")
    bad.add("stereo", "u3", "c.flac")
    return bad


def test_summary_counts_by_reason():
    assert three().summary(1200) == (
        "train: skipped 3 of 1200: 1 sample rate 8000 (want 16000), 1 stereo, 1 unreadable"
    )


def test_report_names_every_case(caplog):
    with caplog.at_level(logging.WARNING):
        three().report(1200, max_fraction=0.05)
    assert "train: stereo: u3 (c.flac)" in caplog.messages
    assert len(caplog.messages) == 4


def test_long_lists_are_cut_but_counted(caplog):
    bad = BadItems("train")
    for n in range(MAX_NAMED + 7):
        bad.add("stereo", f"u{n}")
    with caplog.at_level(logging.WARNING):
        bad.report(10_000, max_fraction=0.05)
    assert "train: ... and 7 more" in caplog.messages
    assert caplog.messages[-1] == f"train: skipped {MAX_NAMED + 7} of 10000: {MAX_NAMED + 7} stereo"


def test_too_many_is_an_error_that_says_the_limit():
    with pytest.raises(RecipeError, match=r"skipped 3 of 10:.*--max-bad-fraction 0\.05"):
        three().report(10, max_fraction=0.05)


def test_exactly_the_limit_is_allowed():
    three().report(60, max_fraction=0.05)


def test_nothing_wrong_says_nothing(caplog):
    BadItems("train").report(0, max_fraction=0.0)
    assert not caplog.messages
