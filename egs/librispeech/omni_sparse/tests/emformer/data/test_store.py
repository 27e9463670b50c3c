# SPDX-License-Identifier: Apache-2.0
import os

import pytest

from emformer.data.store import atomic_path, digest, facts_in, is_done, mark_done


def test_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "a.jsonl.gz"
    with atomic_path(target) as temporary:
        assert temporary.name.endswith(".jsonl.gz")
        temporary.write_text("x")
        assert not target.exists()
    assert target.read_text() == "x"
    assert os.listdir(target.parent) == ["a.jsonl.gz"]


def test_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "lang"
    target.mkdir()
    (target / "stale").write_text("")
    with atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "fresh").write_text("")
    assert os.listdir(target) == ["fresh"]


def test_marker_holds_for_the_same_facts_only(tmp_path):
    marker, output = tmp_path / ".x.done", tmp_path / "out"
    output.write_text("")
    mark_done(marker, {"nj": 1, "splits": ("a", "b")})
    assert is_done(marker, {"nj": 1, "splits": ("a", "b")}, [output])
    assert not is_done(marker, {"nj": 2, "splits": ("a", "b")}, [output])


def test_marker_does_not_hold_without_its_outputs(tmp_path):
    marker = tmp_path / ".x.done"
    mark_done(marker, {})
    assert not is_done(marker, {}, [tmp_path / "gone"])


def test_a_marker_tells_what_it_was_given(tmp_path):
    marker = tmp_path / ".x.done"
    assert facts_in(marker) is None
    mark_done(marker, {"folder": "a"})
    assert facts_in(marker) == {"folder": "a"}


@pytest.mark.parametrize("content", ["", "not json"])
def test_broken_marker_does_not_hold(tmp_path, content):
    marker = tmp_path / ".x.done"
    marker.write_text(content)
    assert not is_done(marker, {}, [])


def test_digest_sees_content_and_order(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    before = digest([a, b])
    assert before == digest([a, b])
    assert before != digest([b, a])
    b.write_text("3")
    assert before != digest([a, b])
