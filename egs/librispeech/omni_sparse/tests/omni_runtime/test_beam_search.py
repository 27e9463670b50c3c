# SPDX-License-Identifier: Apache-2.0
"""Modified beam search of the C library against the recipe's."""

from __future__ import annotations

import pytest

from tests.support.runtime.c_library import Refused
from tests.support.runtime.transducers import KINDS, SUBNETS, in_pytorch, sound, windows_of


def expected(made, samples, subnets, beam_size: int):
    search = dict(method="modified_beam_search", beam_size=beam_size)
    return in_pytorch(made, samples, subnets, **search)[:3]


@pytest.mark.parametrize("beam_size", [2, 4, 16])
@pytest.mark.parametrize("kind", [*KINDS, "pausing"])
def test_a_beam_says_what_the_recipes_says(kind, beam_size, library, packed):
    model, differ = library.open(packed[kind].path), False
    for subnet in SUBNETS:
        for seed in range(3):
            samples = sound(4.0, seed)
            found = model.stream(subnet, beam_size).run(samples)
            assert found == expected(packed[kind], samples, [subnet], beam_size)
            differ |= found != model.stream(subnet).run(samples)
    assert differ  # from greedy search


def test_a_beam_wider_than_the_vocabulary_says_what_the_recipes_says(library, packed):
    samples = sound(2.0)
    found = library.open(packed["demo"].path).stream("dense", 64).run(samples)
    assert found == expected(packed["demo"], samples, ["dense"], 64)


def test_a_beam_of_one_hypothesis_is_greedy_search(library, packed):
    model, samples = library.open(packed["demo"].path), sound()
    found = model.stream("0.50", 1).run(samples)
    assert found == expected(packed["demo"], samples, ["0.50"], 1)
    assert found == in_pytorch(packed["demo"], samples, ["0.50"])[:3]


def test_what_a_beam_says_so_far_is_what_the_recipe_says_so_far(library, packed):
    """Also where the best hypothesis of before is no longer the best."""
    made, samples, revised = packed["pausing"], sound(4.0), 0
    model, before = library.open(made.path), ""
    stream, chunk = model.stream("dense", 4), model.ask("chunk_samples")
    samples = samples[: len(samples) // chunk * chunk]
    for begin in range(0, len(samples), chunk):
        stream.accept(samples[begin : begin + chunk])
        so_far = model.stream("dense", 4)
        so_far.accept(samples[: begin + chunk])
        assert so_far.heard == stream.heard
        assert stream.utterance == so_far.utterance
        revised += not stream.heard.text.startswith(before)
        before = stream.heard.text
    assert revised


def test_levels_may_change_under_a_beam(library, packed):
    made, samples, turns = packed["demo"], sound(), ["0.90", "dense", "0.50"]
    stream = library.open(made.path).stream(turns[0], 4)
    for begin in range(0, len(samples), 100):
        before = len(stream.encoder)
        stream.accept(samples[begin : begin + 100])
        if len(stream.encoder) > before:  # a chunk has run: the next one is another level's
            stream.set_level(turns[len(stream.encoder) % 3])
    number = len(stream.encoder)
    windows = windows_of(made.models["dense"], samples)[:number]
    search = dict(method="modified_beam_search", beam_size=4)
    assert number > 3 and stream.heard == in_pytorch(made, samples, turns, windows, **search)[:3]


@pytest.mark.parametrize("beam_size", [0, -1, 65, 2**31 - 1])
def test_a_beam_of_another_size_is_refused(beam_size, library, packed):
    with pytest.raises(Refused, match=f"a beam of {beam_size} hypotheses; it can be 1 to 64"):
        library.open(packed["tiny"].path).stream("dense", beam_size)
