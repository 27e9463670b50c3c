# SPDX-License-Identifier: Apache-2.0
"""Which packed file is opened, by which library."""

from __future__ import annotations

import shutil

import pytest

from omni_recognizer import RecognizerError, load
from omni_recognizer.library import CLibrary, find_library
from tests.support.runtime.transducers import SUBNETS


def test_a_folder_with_one_file_means_it(made, library):
    assert load(made.path.parent, library).path == made.path


def test_levels_are_told_by_name_with_their_sparsities(made, library):
    levels = load(made.path, library).levels
    assert list(levels) == list(SUBNETS) and levels["dense"] == 0.0 < levels["0.50"]


def test_of_several_files_one_must_be_named(made, library, tmp_path):
    for name in ("a.packed", "b.packed"):
        shutil.copy(made.path, tmp_path / name)
    with pytest.raises(RecognizerError, match="has a.packed and b.packed; name one"):
        load(tmp_path, library)


def test_a_folder_without_one_is_told(library, tmp_path):
    with pytest.raises(RecognizerError, match=r"no \*.packed in it"):
        load(tmp_path, library)


def test_a_file_that_is_not_there_is_told(library, tmp_path):
    with pytest.raises(RecognizerError, match="No such file"):
        load(tmp_path / "none", library)


def test_a_library_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RecognizerError, match="by make in omni_runtime"):
        CLibrary(tmp_path / "libomni_runtime.so")


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Neither a library nor a compiler."""
    monkeypatch.setattr("omni_recognizer.library.__file__", str(tmp_path / "library.py"))
    monkeypatch.setattr("omni_recognizer.library.MADE", tmp_path / "made.so")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", str(tmp_path / "none"))


def test_without_any_library_or_compiler_one_is_told_what_to_install(bare):
    with pytest.raises(RecognizerError, match="cannot be compiled: there is no C compiler .*gcc"):
        find_library()


def test_without_a_compiler_what_make_has_built_is_taken(bare, tmp_path):
    (tmp_path / "made.so").touch()
    assert find_library() == tmp_path / "made.so"
