# SPDX-License-Identifier: Apache-2.0
"""A folder with a file of each transcript."""

import pytest

from emformer.errors import RecipeError
from omni_emformer.live.files import TranscriptFolder
from omni_emformer.live.formats import FORMATS
from omni_emformer.live.transcript import Transcript
from tests.support.transcripts import HEARD, segment


def transcript(name: str) -> Transcript:
    return Transcript(name, HEARD, [segment("ONE TWO", 0, 1)])


def folder(path, form="text", force=False, subnets=()) -> TranscriptFolder:
    return TranscriptFolder(path / "out", FORMATS[form], force, subnets)


@pytest.mark.parametrize("form, name", [("text", "a.txt"), ("json", "a.json"), ("srt", "a.srt")])
def test_a_file_has_the_sounds_name_and_the_formats_content(tmp_path, form, name):
    found = folder(tmp_path, form).write(transcript("x/a.wav"))
    assert found == tmp_path / "out" / name
    assert found.read_text() == FORMATS[form].write(transcript("x/a.wav"))


def test_standard_input_and_sub_networks_have_names(tmp_path):
    assert folder(tmp_path).path("-", "0.90").name == "stdin.txt"
    several = folder(tmp_path, subnets=["dense", "front/3"])
    assert several.path("a.b.wav", "front/3").name == "a.b.front-3.txt"


def test_a_file_that_is_there_is_refused_before_anything_is_heard(tmp_path):
    folder(tmp_path).write(transcript("a.wav"))
    with pytest.raises(RecipeError, match="a.txt exists; delete it, or give --force"):
        folder(tmp_path).check(["b.wav", "a.wav"])


def test_a_file_that_came_meanwhile_is_kept(tmp_path):
    one = folder(tmp_path)
    one.check(["a.wav"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("mine")
    with pytest.raises(RecipeError, match="exists"):
        one.write(transcript("a.wav"))
    assert (tmp_path / "out" / "a.txt").read_text() == "mine"


def test_force_overwrites(tmp_path):
    folder(tmp_path).write(transcript("a.wav"))
    again = folder(tmp_path, force=True)
    again.check(["a.wav"])
    assert again.write(transcript("a.wav")).read_text() == "ONE TWO\n"


def test_two_sounds_of_one_name_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="x/a.wav and y/a.flac would both be written to"):
        folder(tmp_path).check(["x/a.wav", "y/a.flac"])


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(RecipeError, match="a file is where a folder is meant"):
        folder(tmp_path).check(["a.wav"])
