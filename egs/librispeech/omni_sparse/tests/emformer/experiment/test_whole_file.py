# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole, or as they were before."""

import pytest

from emformer.experiment.whole_file import write_whole


def test_the_file_has_the_text_and_nothing_lies_beside_it(tmp_path):
    write_whole(tmp_path / "a.txt", "é\n")
    write_whole(tmp_path / "a.txt", "ä\n")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.txt", "ä\n".encode())]


def test_what_was_there_stays_where_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    (tmp_path / "a.txt.part").mkdir()  # nothing can be written there
    with pytest.raises(OSError):
        write_whole(path, "after")
    assert path.read_text() == "before"
