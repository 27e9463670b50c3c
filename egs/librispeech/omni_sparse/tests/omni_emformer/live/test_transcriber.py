# SPDX-License-Identifier: Apache-2.0
"""Utterances of a stream without end: where they end, when words are said, what is remembered."""

import pickle

import pytest
import torch

from omni_emformer.live.transcriber import Transcriber
from omni_recognizer.endpoint import EndpointRules
from tests.support.scripted_transducer import (
    FRAME,
    ScriptedTransducer,
    script,
    scripted_info,
)
from tests.support.steps import lines_run

ONE, TWO, T, HREE = 3, 4, 5, 6
METHODS = pytest.mark.parametrize("method", ["greedy_search", "modified_beam_search"])

RULES = EndpointRules()


def transcriber(rules=RULES, method="greedy_search") -> Transcriber:
    return Transcriber(ScriptedTransducer(), scripted_info(), method, rules)


def heard(said, num_frames, **options):
    """The utterances of a script, fed in odd pieces."""
    one, found = transcriber(**options), []
    for piece in script(said, num_frames).split(7):
        found += one.accept(piece)
    return found + one.finish()


@METHODS
def test_a_pause_ends_an_utterance(method):
    segments = heard({0: ONE, 10: TWO, 60: T, 61: HREE, 160: ONE}, 180, method=method)
    assert [s.text for s in segments] == ["ONE TWO", "THREE", "ONE"]
    assert [s.ended_by for s in segments] == ["rule2", "rule2", "end"]


@METHODS
def test_times_count_from_the_start_of_the_stream(method):
    segments = heard({0: ONE, 10: TWO, 60: T, 61: HREE, 160: ONE}, 200, method=method)
    times = [(w.text, w.start, w.end) for s in segments for w in s.words]
    frames = [("ONE", 0, 0), ("TWO", 10, 10), ("THREE", 60, 61), ("ONE", 160, 160)]
    assert times == [
        (w, pytest.approx(FRAME * a), pytest.approx(FRAME * (b + 1))) for w, a, b in frames
    ]
    assert [(s.start, s.end) for s in segments][1] == pytest.approx((2.4, 2.48))


def test_what_is_said_without_a_pause_ends_after_20_seconds():
    segments = heard(dict.fromkeys(range(0, 1200, 10), ONE), 1200)
    assert [s.ended_by for s in segments] == ["rule3", "rule3", "end"]
    starts = [s.start for s in segments]
    assert starts == pytest.approx([0, 20, 40], abs=0.5)
    assert sum(len(s.words) for s in segments) == 120


def test_silence_is_no_utterance():
    segments = heard({400: ONE}, 500)
    assert [(s.text, s.start) for s in segments] == [("ONE", pytest.approx(16.0))]


def test_without_rules_all_is_one_utterance():
    (segment,) = heard({0: ONE, 400: TWO, 900: ONE}, 1000, rules=None)
    assert (segment.text, segment.ended_by) == ("ONE TWO ONE", "end")


def test_the_encoder_starts_anew_after_silence_and_only_then():
    one = transcriber()
    one.model.ages.clear()
    one.accept(script({0: ONE, 4: ONE}, 40))  # rule2 after 36 frames, of chunks of 4
    assert one.model.ages == [*range(9)]
    one.accept(script(dict.fromkeys(range(0, 600, 10), ONE), 600))
    assert one.model.ages[9] == 0 and one.model.ages[-1] == len(one.model.ages) - 10


def test_after_a_pause_it_hears_as_at_the_start():
    later = heard({0: TWO, 80: ONE, 84: T, 86: HREE}, 90)
    alone = heard({0: ONE, 4: T, 6: HREE}, 10)
    assert later[1].text == alone[0].text == "ONE THREE"


def test_a_stream_begins_without_what_was_before():
    one = transcriber()
    one.accept(script({0: ONE}, 30))
    one.start()
    one.accept(script({2: TWO}, 30))
    (segment,) = one.finish()
    assert (segment.text, segment.start) == ("TWO", pytest.approx(2 * FRAME))


def minutes_of_speech(one: Transcriber, minutes: int, measure) -> list[int]:
    """What is measured of each minute's chunks, at most; half of it is said without a pause."""
    chunk = ScriptedTransducer().chunk_frames
    said = dict.fromkeys(range(0, 750, 9), ONE) | dict.fromkeys(range(760, 1400, 40), TWO)
    minute = script(said, 1500)
    return [max(measure(piece) for piece in minute.split(chunk)) for _ in range(minutes)]


def state_size(one: Transcriber) -> int:
    """Bytes of all that a transcriber remembers."""
    search = {k: v for k, v in vars(one._search).items() if k not in ("model", "_tree")}
    tree = getattr(one._search, "_tree", None)
    return len(pickle.dumps([search, tree, one._states, one._frames.shape]))


@METHODS
def test_what_is_remembered_does_not_grow_with_the_stream(method):
    one = transcriber(method=method)

    def size_after(piece):
        one.accept(piece)
        return state_size(one)

    sizes = minutes_of_speech(one, 6, size_after)
    assert max(sizes[2:]) <= 1.02 * max(sizes[:2])  # numbers get longer by a byte


@METHODS
def test_work_on_a_chunk_does_not_grow_with_the_stream(method):
    one = transcriber(method=method)
    steps = minutes_of_speech(one, 4, lambda piece: lines_run(lambda: one.accept(piece)))
    assert max(steps[2:]) <= max(steps[:2])


@METHODS
def test_work_on_a_chunk_within_an_utterance_does_not_grow_with_its_tokens(method):
    rules = EndpointRules(rule3_min_utterance_length=1e6)
    one, chunk = transcriber(rules, method), script({0: ONE, 2: TWO}, 4)
    one.accept(torch.cat([chunk] * 3))
    few = lines_run(lambda: one.accept(chunk))
    one.accept(torch.cat([chunk] * 300))
    assert lines_run(lambda: one.accept(chunk)) == few
    assert len(one.text.split()) > 600


def test_without_rules_what_is_remembered_grows():
    one = transcriber(None)
    sizes = minutes_of_speech(one, 3, lambda piece: (one.accept(piece), state_size(one))[1])
    assert min(sizes[2] - sizes[1], sizes[1] - sizes[0]) > 100
