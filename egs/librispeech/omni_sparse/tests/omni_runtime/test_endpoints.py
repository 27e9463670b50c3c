# SPDX-License-Identifier: Apache-2.0
"""Utterances of the C library's streams: the Python transcriber's, and what is kept of them."""

from __future__ import annotations

import numpy as np
import pytest

from omni_emformer.live.transcriber import Stream, Transcriber
from omni_emformer.runtime.model import load_packed
from omni_recognizer.endpoint import EndpointRules
from tests.support.random_weights import TOKENS
from tests.support.runtime.c_library import Refused
from tests.support.runtime.transducers import KINDS, QUICK, SUBNETS, pack_kind, sound

METHODS = {"greedy_search": 1, "modified_beam_search": 4}


def in_python(path, subnet, method, rules, samples):
    """The transcriber's utterances: words with their times, and the rules that ended them."""
    one = Transcriber(*load_packed(path, subnet), method, rules)
    stream = Stream(one)
    segments = stream.accept(samples) + stream.finish()
    return [
        ([(w.text, w.start, w.end) for w in segment.words], segment.ended_by)
        for segment in segments
    ]


def in_c(model, subnet, method, rules, samples, size=1000):
    stream, frame = model.stream(subnet, METHODS[method]), model.ask("frame_seconds")
    stream.set_rules(rules)
    limit = len(samples) / 16000
    return [
        (
            [(w, min(a * frame, limit), min((b + 1) * frame, limit)) for w, a, b in one.words],
            f"rule{one.rule}" if one.rule else "end",
        )
        for one in stream.utterances(samples, size)
    ]


def assert_same(found, expected):
    assert [by for _, by in found] == [by for _, by in expected]
    for (words, _), (others, _) in zip(found, expected, strict=True):
        assert [w for w, _, _ in words] == [w for w, _, _ in others]
        np.testing.assert_allclose([w[1:] for w in words], [w[1:] for w in others], atol=1e-9)


def quiet(seconds: float, seed: int = 0) -> np.ndarray:
    """A sound that is hardly there now and then.

    Nowhere is it digital silence: frames of equal features have equal outputs, so that alignments
    of a text are equally likely there, and rounding decides which of them is reported.
    """
    samples, rng = sound(seconds, seed), np.random.default_rng(seed)
    on = rng.random(len(samples) // 8000 + 1) < 0.6
    noise = rng.standard_normal(len(samples)).astype(np.float32)
    return samples * np.repeat(on, 8000)[: len(samples)] + 0.001 * noise


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [*KINDS, "pausing"])
def test_utterances_are_those_of_the_python_transcriber(kind, method, library, packed):
    path, model = packed[kind].path, library.open(packed[kind].path)
    ended = []
    for number, subnet in enumerate(SUBNETS):
        samples = quiet(8.0, 10 + number)
        expected = in_python(path, subnet, method, QUICK, samples)
        assert_same(in_c(model, subnet, method, QUICK, samples), expected)
        ended += [by for _, by in expected]
    assert "rule3" in ended and len(ended) > 9
    assert kind != "pausing" or set(ended) == {"rule1", "rule2", "rule3", "end"}


def test_words_begin_where_those_of_the_python_transcriber_do(library, tmp_path):
    """Of symbols that are a mark of a word's beginning alone, have one within, or several."""
    odd = ["\u2581", "\u2581A\u2581B", "\u2581\u2581C", "D ", " E", "F", "\u2581", "GH"]
    path = pack_kind(tmp_path / "p", "demo", tokens=[*TOKENS[:3], *odd]).path
    for subnet in SUBNETS:
        expected = in_python(path, subnet, "greedy_search", QUICK, sound(5.0))
        found = in_c(library.open(path), subnet, "greedy_search", QUICK, sound(5.0))
        assert_same(found, expected)


@pytest.mark.parametrize("size", [1, 160, 16000 * 8])
def test_utterances_are_the_same_in_pieces_of_any_size(size, library, packed):
    model, samples = library.open(packed["pausing"].path), quiet(8.0, 4)
    expected = in_c(model, "0.50", "greedy_search", QUICK, samples)
    assert len(expected) > 3
    assert in_c(model, "0.50", "greedy_search", QUICK, samples, size) == expected


def test_by_default_there_is_one_utterance(library, packed):
    model, samples = library.open(packed["pausing"].path), quiet(8.0)
    (utterance,) = model.stream("0.50").utterances(samples, 1000)
    assert utterance.rule == 0
    stream = model.stream("0.50")
    stream.set_rules(QUICK)
    stream.set_rules(None)
    assert stream.utterances(samples, 1000) == [utterance]


def test_silence_is_an_endpoint_without_text(library, packed):
    stream = library.open(packed["pausing"].path).stream("0.50")
    stream.set_rules(EndpointRules(1e-9, 1e-9, 1e9))
    stream.accept(quiet(8.0))
    rules = [stream.endpoint, *(one.rule for one in stream.ended())]
    assert set(rules) == {1}


def test_an_endpoint_must_be_taken_before_more_is_given(library, packed):
    stream, samples = library.open(packed["pausing"].path).stream("0.50"), quiet(8.0, 4)
    stream.set_rules(QUICK)
    stream.accept(samples)
    before, rule = stream.heard, stream.endpoint
    assert rule
    for refused in (lambda: stream.accept(samples), stream.finish, lambda: stream.state):
        with pytest.raises(Refused, match="ended; call omni_stream_next_utterance first"):
            refused()
    assert (stream.heard, stream.endpoint) == (before, rule)
    stream.next_utterance()
    assert stream.heard.frames[:1] > before.frames[-1:]  # they count from the stream's beginning


def test_a_reset_forgets_endpoints_and_what_waits_and_keeps_the_rules(library, packed):
    stream, samples = library.open(packed["pausing"].path).stream("0.50"), quiet(8.0, 4)
    stream.set_rules(QUICK)
    first = stream.utterances(samples, 1000)
    stream.reset()
    stream.accept(samples)
    assert stream.endpoint
    stream.reset()
    assert not stream.endpoint and stream.heard == ("", [], [])
    assert stream.utterances(samples, 1000) == first


@pytest.mark.parametrize("method", METHODS)
def test_a_stream_with_endpoints_does_not_grow(method, library, packed):
    """As its saved state does not, which has all that it remembers of what was said."""
    stream, sizes = library.open(packed["tiny"].path).stream("dense", METHODS[method]), []
    stream.set_rules(QUICK)
    for _ in range(30):
        stream.accept(sound(4.0))
        stream.ended()
        sizes.append(len(stream.state))
    assert max(sizes[15:]) <= max(sizes[:15])
    stream.set_rules(None)
    stream.accept(sound(8.0))
    assert len(stream.state) > max(sizes)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_rules_that_are_no_seconds_are_refused(bad, library, packed):
    stream = library.open(packed["tiny"].path).stream("dense")
    with pytest.raises(Refused, match="rule 2 ends utterances at .* it must be above 0"):
        stream.set_rules(EndpointRules(2.4, bad, 20.0))
