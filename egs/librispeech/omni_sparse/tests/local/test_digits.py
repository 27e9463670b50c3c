# SPDX-License-Identifier: Apache-2.0
import random
from collections import Counter
from pathlib import Path

import pytest

from emformer.errors import RecipeError
from local.digits import Spoken, choose_held_out, chop, parse_name, plan, split_recordings

FOUR = ["george", "jackson", "lucas", "nicolas"]
SIX = [*FOUR, "theo", "yweweler"]


def recordings(speakers, count=50):
    return [Spoken(s, d, i) for s in speakers for d in range(10) for i in range(count)]


def parts(utterances):
    return [part for utterance in utterances for part in utterance.parts]


@pytest.fixture(params=[FOUR, SIX], ids=["four speakers", "six speakers"])
def speakers(request):
    return request.param


@pytest.fixture
def planned(speakers):
    return plan(split_recordings(recordings(speakers), max(speakers)), 42, 600, test_passes=4)


def test_file_names():
    assert parse_name(Path("x/7_jackson_32.wav")) == Spoken("jackson", 7, 32)
    assert parse_name(Path("x/seven.wav")) is None


def test_official_split_is_respected(speakers):
    splits = split_recordings(recordings(speakers), max(speakers))
    assert {r.index for r in splits["test-clean"]} == set(range(5))
    assert {r.index for r in splits["train"]} == set(range(5, 45))
    assert {r.index for r in splits["dev"]} == set(range(45, 50))


def test_held_out_speaker_is_in_test_other_only(speakers, planned):
    for split, utterances in planned.items():
        found = {part.speaker for part in parts(utterances)}
        assert found == ({max(speakers)} if split == "test-other" else set(speakers[:-1]))


def test_without_held_out_speaker_test_clean_covers_all_and_there_is_no_test_other(speakers):
    planned = plan(split_recordings(recordings(speakers), None), 42, 600, test_passes=1)
    assert set(planned) == {"train", "dev", "test-clean"}
    assert set(parts(planned["test-clean"])) == {r for r in recordings(speakers) if r.index < 5}


def test_no_recording_is_in_two_splits(planned):
    seen: dict = {}
    for split, utterances in planned.items():
        for part in parts(utterances):
            assert seen.setdefault(part, split) == split


def test_every_test_recording_is_used_equally_often(planned):
    assert set(Counter(parts(planned["test-clean"])).values()) == {4}
    assert set(Counter(parts(planned["test-other"])).values()) == {1}
    assert len(parts(planned["test-other"])) == 500


def test_training_recordings_are_used_nearly_equally_often(planned):
    uses = Counter(parts(planned["train"])).values()
    assert max(uses) - min(uses) <= 1


def test_training_speakers_get_equal_shares(speakers, planned):
    shares = Counter(u.parts[0].speaker for u in planned["train"])
    assert sum(shares.values()) == 600
    assert max(shares.values()) - min(shares.values()) <= 1


def test_an_utterance_has_one_speaker_and_three_to_seven_different_recordings(planned):
    for utterances in planned.values():
        for utterance in utterances:
            assert len({part.speaker for part in utterance.parts}) == 1
            assert 3 <= len(set(utterance.parts)) == len(utterance.parts) <= 7


def test_ids_are_unique(planned):
    ids = [utterance.id for utterances in planned.values() for utterance in utterances]
    assert len(ids) == len(set(ids))


def test_text_is_what_is_spoken(planned):
    utterance = planned["train"][0]
    words = "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE".split()
    assert utterance.text.split() == [words[part.digit] for part in utterance.parts]


def test_same_seed_same_plan_whatever_the_order_of_the_files(speakers):
    shuffled = recordings(speakers)
    random.Random(1).shuffle(shuffled)
    plans = [
        plan(split_recordings(items, None), 7, 50, test_passes=1)
        for items in (recordings(speakers), shuffled)
    ]
    assert plans[0] == plans[1]


def test_another_seed_another_plan(speakers):
    splits = split_recordings(recordings(speakers), None)
    assert plan(splits, 7, 50, test_passes=1) != plan(splits, 8, 50, test_passes=1)


@pytest.mark.parametrize("size", range(60))
def test_chop_loses_nothing_and_keeps_the_bounds(size):
    items = recordings(["x"], 6)[:size]
    pieces = chop(items, random.Random(size))
    assert [item for piece in pieces for item in piece] == items
    if size >= 3:
        assert all(3 <= len(piece) <= 7 for piece in pieces)


def test_last_speaker_by_name_is_the_default_choice():
    assert choose_held_out(SIX, "last") == "yweweler"
    assert choose_held_out(FOUR, "none") is None
    assert choose_held_out(FOUR, "lucas") == "lucas"


def test_unknown_held_out_speaker_lists_the_known():
    with pytest.raises(RecipeError, match="no speaker 'bob'.*george, jackson"):
        choose_held_out(FOUR, "bob")


def test_the_only_speaker_cannot_be_held_out():
    with pytest.raises(RecipeError, match="cannot be left out of 1"):
        choose_held_out(["george"], "last")


def test_too_few_recordings_name_the_empty_split():
    with pytest.raises(RecipeError, match="left for the split train"):
        split_recordings(recordings(FOUR, count=5), None)
    with pytest.raises(RecipeError, match="left for the split train"):
        split_recordings(recordings(FOUR, count=6), None)
