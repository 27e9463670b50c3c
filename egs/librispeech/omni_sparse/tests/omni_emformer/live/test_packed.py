# SPDX-License-Identifier: Apache-2.0
"""A stream of the C library is what a stream in Python is."""

from __future__ import annotations

import numpy as np
import pytest

from emformer.errors import RecipeError
from omni_emformer.live.packed import BEAM_SIZES, PackedStream
from omni_emformer.live.transcriber import Stream, Transcriber
from omni_emformer.runtime.model import load_packed
from omni_recognizer import load
from tests.support.runtime.transducers import QUICK, pack_kind, sound


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return pack_kind(tmp_path_factory.mktemp("packed") / "p.packed", "demo", blank=8.0).path


@pytest.mark.parametrize("method", BEAM_SIZES)
def test_texts_and_utterances_are_the_same_after_each_piece(path, method):
    streams = [
        PackedStream(load(path), "0.50", method, QUICK),
        Stream(Transcriber(*load_packed(path, "0.50"), method, QUICK)),
    ]
    samples, number = sound(6.0), 0
    for piece in np.array_split(samples, 17):
        found, expected = (one.accept(piece) for one in streams)
        assert found == expected
        assert streams[0].text == streams[1].text
        assert streams[0].seconds == streams[1].seconds
        number += len(found)
    found, expected = (one.finish() for one in streams)
    assert found == expected and number > 1


def test_of_no_sound_nothing_is_heard(path):
    assert PackedStream(load(path), "dense").finish() == []


def test_samples_that_are_no_numbers_are_told(path):
    with pytest.raises(RecipeError, match="not finite"):
        PackedStream(load(path), "dense").accept(np.full(1000, np.nan, np.float32))
