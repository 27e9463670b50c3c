# SPDX-License-Identifier: Apache-2.0
"""Streams of the C library against PyTorch: encoder outputs, texts, time stamps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from emformer.data.features import make_extractor
from omni_emformer.runtime.model import load_packed
from tests.support.runtime.c_library import Refused
from tests.support.runtime.layers import INSTRUCTIONS
from tests.support.runtime.transducers import KINDS, SUBNETS, in_pytorch, sound, windows_of


def use(instructions: str, library, monkeypatch) -> None:
    monkeypatch.setenv("OMNI_INSTRUCTIONS", instructions)
    if library.c.omni_instructions().decode() != instructions:
        pytest.skip(f"this processor has no {instructions}")


@pytest.mark.parametrize("subnet", SUBNETS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_that_of_pytorch(kind, subnet, library, packed):
    samples = sound()
    expected = in_pytorch(packed[kind], samples, [subnet])
    stream = library.open(packed[kind].path).stream(subnet)
    assert stream.run(samples) == expected[:3]
    assert len(set(expected.tokens)) > 2 or subnet != "dense"  # pruned ones may repeat themselves
    assert len(stream.encoder) == len(expected.encoder)
    for found, chunk in zip(stream.encoder, expected.encoder, strict=True):
        np.testing.assert_allclose(found, chunk, atol=1e-4)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_every_instruction_set_gives_the_same(instructions, library, packed, monkeypatch):
    use(instructions, library, monkeypatch)
    samples = sound()
    expected = in_pytorch(packed["demo"], samples, ["0.50"])
    stream = library.open(packed["demo"].path).stream("0.50")
    assert stream.run(samples) == expected[:3]
    np.testing.assert_allclose(np.stack(stream.encoder), torch.stack(expected.encoder), atol=1e-4)


def test_levels_may_change_between_chunks(library, packed):
    made, samples, turns = packed["demo"], sound(), ["0.90", "dense", "0.50"]
    expected = in_pytorch(made, samples, turns)
    model = library.open(made.path)
    stream, chunk = model.stream(turns[0]), model.ask("chunk_samples")
    ahead, number = model.ask("lookahead_samples"), 1
    for begin in range(0, len(samples), 100):
        stream.accept(samples[begin : begin + 100])
        if len(stream.encoder) == number:  # a chunk has run: the next one is another level's
            stream.set_level(turns[number % 3])
            number += 1
    assert number - 1 == (len(samples) - ahead) // chunk
    while len(stream.encoder) < len(expected.encoder):  # what finish runs, chunk by chunk
        stream.accept(np.zeros(100, np.float32))
        if len(stream.encoder) == number:
            stream.set_level(turns[number % 3])
            number += 1
    assert stream.heard == expected[:3]
    np.testing.assert_allclose(np.stack(stream.encoder), torch.stack(expected.encoder), atol=1e-4)
    assert stream.heard != in_pytorch(made, samples, ["dense"])[:3]


@pytest.mark.parametrize("subnet", SUBNETS)
def test_int8_is_that_of_the_python_runtime(subnet, library, packed):
    made, samples = packed["int8"], sound()
    model, info = load_packed(made.path, subnet)
    stream = library.open(made.path).stream(subnet)
    found = stream.run(samples)
    # Of the same features: those of another library are rounded to other bytes here and there.
    packed_model = made._replace(models={subnet: model})
    expected = in_pytorch(packed_model, samples, [subnet], stream.features)
    assert found == expected[:3]
    differ = np.abs(np.stack(stream.encoder) - torch.stack(expected.encoder).numpy())
    # An activation half way between two bytes may become either.
    assert np.median(differ) < 1e-5 and differ.max() < 0.02


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_int8_outputs_are_near_those_of_float32(instructions, library, packed, monkeypatch):
    use(instructions, library, monkeypatch)
    samples, outputs = sound(), []
    for kind in ("demo", "int8"):
        stream = library.open(packed[kind].path).stream("dense")
        stream.run(samples)
        outputs.append(np.stack(stream.encoder))
    assert 1e-4 < np.abs(outputs[0] - outputs[1]).max() < 0.2


@pytest.mark.parametrize("size", [1, 159, 160, 4001])
def test_a_stream_is_the_same_in_pieces_of_any_size(size, library, packed):
    samples, model = sound(1.0), library.open(packed["tiny"].path)
    whole, pieces = model.stream("dense"), model.stream("dense")
    for begin in range(0, len(samples), size):
        pieces.accept(samples[begin : begin + size])
    assert pieces.finish() == whole.run(samples)
    assert np.array_equal(np.stack(pieces.encoder), np.stack(whole.encoder))


def test_features_are_those_of_kaldi(library, packed):
    made, samples = packed["tiny"], sound()
    samples[16000:24000] = 0  # digital silence
    windows = windows_of(made.models["dense"], samples)
    stream = library.open(made.path).stream("dense")
    stream.run(samples)
    for found, expected in zip(stream.features, windows, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_features_are_those_of_the_recipes_extractor(library, packed):
    made, samples = packed["tiny"], sound()
    # Noise, as of a tone alone the extractor's float32 is 1e-3 from the formula, and this is not.
    samples += 0.01 * np.random.default_rng(1).standard_normal(len(samples)).astype(np.float32)
    expected = make_extractor().extract(samples, 16000)
    expected = expected[:-2]  # it mirrors the end, where a stream hears silence
    stream = library.open(made.path).stream("dense")
    stream.run(samples)
    step = made.models["dense"].chunk_frames
    found = np.concatenate([window[:step] for window in stream.features])[: len(expected)]
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_long_streams_forget_what_is_beyond_the_left_context(library, packed):
    made, samples = packed["tiny"], sound(20.0)
    expected = in_pytorch(made, samples, ["0.50"])
    stream = library.open(made.path).stream("0.50")
    assert stream.run(samples) == expected[:3]
    np.testing.assert_allclose(stream.encoder[-1], expected.encoder[-1], atol=1e-4)


@pytest.mark.parametrize("number", [0, 1, 100, 2559, 2560, 2561])
def test_short_sounds_are_those_of_pytorch(number, library, packed):
    samples = sound(1.0)[:number]
    stream = library.open(packed["tiny"].path).stream("dense")
    assert stream.run(samples) == in_pytorch(packed["tiny"], samples, ["dense"])[:3]


def test_a_stream_that_is_reset_begins_anew(library, packed):
    stream, samples = library.open(packed["demo"].path).stream("0.50"), sound()
    first = stream.run(samples)
    stream.reset()
    assert stream.heard == ("", [], [])
    assert stream.run(samples) == first


def test_streams_of_a_model_do_not_touch_one_another(library, packed):
    model, one, other = library.open(packed["demo"].path), sound(seed=1), sound(seed=2)
    streams, expected = [model.stream("dense"), model.stream("0.90")], []
    for subnet, samples in (("dense", one), ("0.90", other)):
        expected.append(model.stream(subnet).run(samples))
    for begin in range(0, len(one), 1000):
        for stream, samples in zip(streams, (one, other), strict=True):
            stream.accept(samples[begin : begin + 1000])
    assert [stream.finish() for stream in streams] == expected


def test_threads_may_share_a_model(library, packed):
    path, samples = packed["demo"].path, sound()
    expected = {subnet: library.open(path).stream(subnet).run(samples) for subnet in SUBNETS}
    model, names = library.open(path), list(SUBNETS) * 4
    with ThreadPoolExecutor(4) as pool:  # which read the levels at the same time
        found = list(pool.map(lambda subnet: model.stream(subnet).run(samples), names))
    assert found == [expected[name] for name in names]


def test_what_was_heard_is_never_taken_back(library, packed):
    stream, samples, before = library.open(packed["demo"].path).stream("dense"), sound(), ""
    for begin in range(0, len(samples), 500):
        stream.accept(samples[begin : begin + 500])
        assert stream.heard.text.startswith(before)
        before = stream.heard.text
    assert stream.finish().text.startswith(before)


def test_the_levels_are_those_of_the_file(library, packed):
    model = library.open(packed["demo"].path)
    assert model.levels == list(SUBNETS)
    expected = {"0": 0, "0.5": 1, ".5": -1, "0.7": -1, "x": -1}
    assert {name: model.ask("find_level", name.encode()) for name in expected} == expected
    _, info = load_packed(packed["demo"].path, "0.90")
    assert model.ask("level_sparsity", 2) == pytest.approx(info.sparsity, abs=1e-12)


def test_the_file_tells_tokens_and_lengths(library, packed):
    made = packed["demo"]
    model, config = library.open(made.path), made.info.config.model
    tokens = [model.ask("token", i).decode() for i in range(model.ask("num_tokens"))]
    assert tokens == list(made.info.tokens) and model.ask("token", len(tokens)) == b""
    assert model.ask("frame_seconds") == config.frame_ms / 1000
    assert model.ask("chunk_samples") == config.chunk_ms * 16


def test_samples_that_are_no_numbers_are_refused(library, packed):
    stream = library.open(packed["tiny"].path).stream("dense")
    for bad in (np.nan, np.inf):
        with pytest.raises(Refused, match="not finite numbers"):
            stream.accept(np.array([0.0, bad]))


def test_a_stream_that_has_ended_is_told(library, packed):
    stream = library.open(packed["tiny"].path).stream("dense")
    stream.finish()
    with pytest.raises(Refused, match="has ended; reset it"):
        stream.accept(np.zeros(1))
    with pytest.raises(Refused, match="has ended; reset it"):
        stream.finish()


def test_an_unknown_level_is_told(library, packed):
    model = library.open(packed["tiny"].path)
    for level in (-1, 3):
        with pytest.raises(Refused, match=f"no level {level}; the file has 3"):
            library.call("omni_stream_open", model.handle, level)
