# SPDX-License-Identifier: Apache-2.0
"""Transcripts as text, JSON and SubRip."""

import json
import re

from omni_emformer.live import formats
from omni_emformer.live.transcript import Transcript
from omni_recognizer.transcript import Segment
from tests.support.transcripts import HEARD, segment


def transcript(*segments: Segment) -> Transcript:
    return Transcript("a.wav", HEARD, list(segments), seconds=10.0, spent=0.5)


TWO = transcript(segment("ONE TWO", 0.4, 2.0), segment("THREE", 5.04, 5.08, "end"))


def test_text_has_a_line_an_utterance():
    assert formats.to_text(TWO) == "ONE TWO\nTHREE\n"
    assert formats.to_text(transcript()) == ""


def test_json_is_one_line_of_what_the_docstring_says():
    line = formats.to_json(TWO)
    assert line.count("\n") == 1 and line.endswith("\n")
    found = json.loads(line)
    keys = set(re.findall(r"^ +((?:\w+, )*\w+)  ", formats.__doc__, re.MULTILINE))
    documented = {key for group in keys for key in group.split(", ")}

    def all_keys(value) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(all_keys, value))
        if isinstance(value, dict):
            return set(value).union(*map(all_keys, value.values()))
        return set()

    assert all_keys(found) == documented


def test_json_has_texts_times_and_the_model():
    found = json.loads(formats.to_json(TWO))
    assert found["file"] == "a.wav" and found["text"] == "ONE TWO THREE"
    assert found["real_time_factor"] == 0.05 and found["seconds"] == 10.0
    first, second = found["segments"]
    assert (first["text"], first["start"], first["end"]) == ("ONE TWO", 0.4, 2.0)
    assert second["ended_by"] == "end"
    word = {"text": "TWO", "start": 1.2, "end": 2.0, "tokens": ["TWO"], "timestamps": [1.2]}
    assert first["words"][1] == word
    assert found["model"]["subnet"] == "0.90" and found["model"]["file_bytes"] == 5000


def test_json_keeps_letters_of_all_languages():
    assert "\u00c9T\u00c9" in formats.to_json(transcript(segment("\u00c9T\u00c9", 0, 1)))


def test_of_no_sound_there_is_no_real_time_factor():
    nothing = Transcript("a.wav", HEARD, seconds=0.0, spent=0.01)
    assert json.loads(formats.to_json(nothing))["real_time_factor"] is None


TIME = r"\d\d:[0-5]\d:[0-5]\d,\d{3}"


def cues(text: str) -> list[tuple[int, str, str, list[str]]]:
    """Number, start, end and lines of each subtitle, by the grammar of SubRip files."""
    found = []
    for block in text.strip().split("\n\n"):
        number, times, *lines = block.splitlines()
        match = re.fullmatch(
            r"(\d\d:[0-5]\d:[0-5]\d,\d{3}) --> (\d\d:[0-5]\d:[0-5]\d,\d{3})", times
        )
        found.append((int(number), match[1], match[2], lines))
    return found


def test_srt_has_a_subtitle_an_utterance():
    assert cues(formats.to_srt(TWO)) == [
        (1, "00:00:00,400", "00:00:02,000", ["ONE TWO"]),
        (2, "00:00:05,040", "00:00:06,040", ["THREE"]),
    ]


def test_long_subtitles_are_wrapped_between_words():
    text = "SUPERCALIFRAGILISTICEXPIALIDOCIOUS-AND-EVEN-LONGER " + "LONG WORDS " * 20
    ((_, _, _, lines),) = cues(formats.to_srt(transcript(segment(text, 0, 19))))
    assert " ".join(lines) == text.strip()
    assert all(len(line) <= 42 for line in lines[1:]) and len(lines) > 5


def test_a_short_subtitle_stays_until_the_next_one_at_most():
    short = transcript(segment("ONE", 1.0, 1.04), segment("TWO", 1.5, 1.54))
    assert [cue[1:3] for cue in cues(formats.to_srt(short))] == [
        ("00:00:01,000", "00:00:01,500"),
        ("00:00:01,500", "00:00:02,500"),
    ]


def test_srt_of_nothing_is_empty():
    assert formats.to_srt(transcript()) == ""


def test_a_model_is_told_in_a_line():
    assert str(HEARD) == (
        "m.packed: 0.90, 300 of 1,000 parameters in use (90.0 % of the encoder's weights are "
        "zero), int8, 2,000 of the packed file's 5,000 bytes"
    )
