# SPDX-License-Identifier: Apache-2.0
"""The C library from Python: it hears what the Python transcriber hears of the same file."""

from __future__ import annotations

import numpy as np
import pytest

from emformer.errors import RecipeError
from omni_emformer.live.endpoint import EndpointRules
from omni_emformer.live.transcriber import Stream, Transcriber
from omni_emformer.runtime.model import load_packed
from omni_emformer.runtime.recognizer import Recognizer
from tests.support.runtime.c_library import make
from tests.support.runtime.transducers import SUBNETS, pack_kind, sound

QUICK = EndpointRules(0.52, 0.28, 1.5)
METHODS = {"greedy_search": 1, "modified_beam_search": 4}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return pack_kind(tmp_path_factory.mktemp("packed") / "p", "demo", blank=8.0).path


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return make(tmp_path_factory.mktemp("omni_runtime")) / "libomni_runtime.so"


@pytest.fixture(scope="module")
def recognizer(path, library):
    return Recognizer(path, library)


@pytest.mark.parametrize("rules", [QUICK, None])
@pytest.mark.parametrize("method", METHODS)
def test_utterances_are_those_of_the_transcriber(method, rules, path, recognizer):
    """Words, their times and tokens, and what ended them."""
    for subnet in SUBNETS:
        stream = Stream([Transcriber(*load_packed(path, subnet), method, rules)])
        expected = stream.accept(sound(6.0))[0] + stream.finish()[0]
        options = dict(subnet=subnet, beam_size=METHODS[method], rules=rules)
        assert recognizer.recognize(sound(6.0), **options) == expected
        assert len(expected) > (1 if rules else 0)


def test_pieces_and_a_save_between_them_change_nothing(recognizer):
    stream, found, samples = recognizer.stream("dense", 4, QUICK), [], sound(6.0)
    for begin in range(0, len(samples), 7777):
        found += stream.accept(samples[begin : begin + 7777])
        text, stream = stream.text, recognizer.restore(stream.save())
        assert stream.text == text
    expected = recognizer.recognize(samples, subnet="dense", beam_size=4, rules=QUICK)
    assert found + stream.finish() == expected


def test_a_stream_that_is_reset_is_another(recognizer):
    stream = recognizer.stream(0.9, rules=QUICK)
    stream.accept(sound(2.0, seed=1))
    stream.finish()
    stream.reset()
    found = stream.accept(sound(6.0)) + stream.finish()
    assert found == recognizer.recognize(sound(6.0), subnet="0.90", rules=QUICK)


def test_the_sub_network_may_change(recognizer):
    stream = recognizer.stream("dense", rules=None)
    stream.use(0.9)
    found = stream.accept(sound(3.0)) + stream.finish()
    assert found == recognizer.recognize(sound(3.0), subnet="0.90", rules=None)


def test_streams_outlive_the_last_name_of_their_recognizer(path, library):
    stream = Recognizer(path, library).stream()
    assert stream.accept(sound(3.0)) + stream.finish()


def test_mistakes_are_told(path, library, recognizer, tmp_path):
    with pytest.raises(RecipeError, match="build the library by make in omni_runtime"):
        Recognizer(path, tmp_path / "libomni_runtime.so")
    with pytest.raises(RecipeError, match="No such file"):
        Recognizer(tmp_path / "none", library)
    with pytest.raises(RecipeError, match=r"called 0.7; known: dense 0.50 0.90"):
        recognizer.stream(0.7)
    with pytest.raises(RecipeError, match="a beam of 0 hypotheses"):
        recognizer.stream(beam_size=0)
    with pytest.raises(RecipeError, match=r"samples of shape \(2, 5\)"):
        recognizer.stream().accept(np.zeros((2, 5)))
    with pytest.raises(RecipeError, match="it is no saved stream"):
        recognizer.restore(b"x" * 100)
