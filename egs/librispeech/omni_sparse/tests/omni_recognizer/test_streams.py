# SPDX-License-Identifier: Apache-2.0
"""Streams of the C library from Python: they hear what the Python transcriber hears."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from omni_emformer.live.transcriber import Stream, Transcriber
from omni_emformer.runtime.model import load_packed
from omni_recognizer import EndpointRules, RecognizerError, Segment, load
from tests.support.runtime.transducers import QUICK, SUBNETS, sound

METHODS = {"greedy_search": 1, "modified_beam_search": 4}


@pytest.fixture(scope="module")
def model(made, library):
    return load(made.path, library)


@pytest.mark.parametrize("rules", [QUICK, None])
@pytest.mark.parametrize("method", METHODS)
def test_utterances_are_those_of_the_transcriber(method, rules, made, model):
    """Words, their times, and what ended them."""
    for subnet in SUBNETS:
        stream = Stream(Transcriber(*load_packed(made.path, subnet), method, rules))
        expected = stream.accept(sound(6.0)) + stream.finish()
        found = model.transcribe(sound(6.0), subnet, METHODS[method], rules)
        assert found.segments == expected
        assert len(expected) > (1 if rules else 0)


def test_pieces_and_a_save_between_them_change_nothing(model):
    stream, found, samples = model.stream("dense", 4, QUICK), [], sound(6.0)
    for begin in range(0, len(samples), 7777):
        found += stream.accept(samples[begin : begin + 7777])
        text, stream = stream.text, model.restore(stream.save())
        assert stream.text == text
    expected = model.transcribe(samples, "dense", 4, QUICK).segments
    assert found + stream.finish() == expected


def test_a_stream_that_is_reset_is_another(model):
    stream = model.stream(0.9, rules=QUICK)
    stream.accept(sound(2.0, seed=1))
    stream.finish()
    stream.reset()
    found = stream.accept(sound(6.0)) + stream.finish()
    assert found == model.transcribe(sound(6.0), "0.90", rules=QUICK).segments


def test_a_stream_that_switches_at_once_is_one_of_the_other_level(model):
    stream = model.stream("dense", rules=None)
    stream.switch(0.9)
    assert stream.level == "0.90"
    found = stream.accept(sound(3.0)) + stream.finish()
    assert found == model.transcribe(sound(3.0), 0.9, rules=None).segments


def test_a_switch_in_the_middle_keeps_what_was_heard(model):
    stream = model.stream("dense", rules=None)
    stream.accept(sound(3.0))
    text = stream.text
    stream.switch(0.9)
    stream.accept(sound(3.0))
    assert text and stream.text.startswith(text) and len(stream.text) > len(text)


def test_the_text_so_far_is_that_of_its_words(model):
    stream = model.stream(rules=None)
    stream.accept(sound(3.0))
    assert stream.text == " ".join(word.text for word in stream.words)


def test_threads_may_share_a_model(model):
    def heard(subnet: str) -> list[Segment]:
        return model.transcribe(sound(6.0), subnet, rules=QUICK).segments

    jobs = [*SUBNETS] * 2
    with ThreadPoolExecutor(len(jobs)) as pool:
        assert list(pool.map(heard, jobs)) == [heard(subnet) for subnet in jobs]


def test_streams_outlive_the_last_name_of_their_model(made, library):
    stream = load(made.path, library).stream()
    assert stream.accept(sound(3.0)) + stream.finish()


def test_a_sound_of_nothing_has_no_words(model):
    found = model.transcribe(np.zeros(0))
    assert found.text == "" and found.seconds == 0.0


def test_no_word_is_after_the_sounds_end(model):
    samples = sound(3.0)
    for number in range(30000, 40000, 1234):
        found = model.transcribe(samples[:number], rules=None)
        assert max(word.end for word in found.words) <= found.seconds == number / 16000


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros((5, 2)), r"samples of shape \(5, 2\); it must be \(num_samples,\)"),
        (np.zeros(5, np.int16), "samples of type int16; floats in"),
        (np.full(5, np.nan), "not finite"),
    ],
)
def test_what_is_no_sound_is_refused(samples, said, model):
    with pytest.raises(RecognizerError, match=said):
        model.transcribe(samples)


def test_a_level_that_is_not_there_is_told_with_those_that_are(model):
    with pytest.raises(RecognizerError, match=r"called 0.7; known: dense 0.50 0.90"):
        model.stream(0.7)


@pytest.mark.parametrize("beam_size", [0, 65])
def test_an_impossible_beam_is_refused(beam_size, model):
    with pytest.raises(RecognizerError, match=f"a beam of {beam_size} hypotheses"):
        model.stream(beam_size=beam_size)


def test_impossible_rules_are_refused(model):
    with pytest.raises(RecognizerError, match="rule 1 ends utterances at 0 s; it must be above 0"):
        model.stream(rules=EndpointRules(0.0))


def test_bytes_that_are_no_stream_are_refused(model):
    with pytest.raises(RecognizerError, match="it is no saved stream"):
        model.restore(b"x" * 100)
