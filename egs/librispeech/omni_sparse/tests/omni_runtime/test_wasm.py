# SPDX-License-Identifier: Apache-2.0
"""The library as WebAssembly, under node: it hears what the native one hears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omni_plugin.runtime import PackedFile
from omni_recognizer.endpoint import EndpointRules
from tests.support.runtime.c_library import Refused
from tests.support.runtime.transducers import SUBNETS, sound
from tests.support.runtime.web import in_node, make_page


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return make_page(tmp_path_factory.mktemp("page"))


def written(path: Path, samples: np.ndarray) -> Path:
    samples.astype(np.float32).tofile(path)
    return path


def whole(*levels: str, size: int = 5000, **more) -> dict:
    return dict(levels=levels, size=size, **more)


# What rounds int8 as its unit does is VNNI of x86-64, as of the other dot products.
@pytest.mark.parametrize("kind", ["demo", "conv", "int8", "own demo"])
@pytest.mark.parametrize("unit, like", [("plain", "plain"), ("simd128", "vnni")])
def test_it_hears_what_the_native_library_hears(
    unit, like, kind, page, library, packed, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMNI_INSTRUCTIONS", like)
    if kind == "int8" and library.c.omni_instructions().decode() != like:
        pytest.skip(f"this processor has no {like} to compare with")
    samples, model = sound(), library.open(packed[kind].path)
    found = in_node(
        page,
        model=packed[kind].path,
        instructions=unit,
        samples=written(tmp_path / "samples", samples),
        runs=[whole(level) for level in SUBNETS],
    )
    assert found["instructions"] == unit
    for level, heard in zip(SUBNETS, found["heard"], strict=True):
        expected = model.stream(level).run(samples)
        assert (heard["text"], heard["tokens"], heard["frames"]) == expected
        assert expected.tokens and not heard["ended"]


def test_levels_may_change_while_it_hears(page, library, packed, tmp_path):
    samples, model = sound(), library.open(packed["demo"].path)
    turns = ["0.90", "dense", "0.50"]
    found = in_node(
        page,
        model=packed["demo"].path,
        samples=written(tmp_path / "samples", samples),
        runs=[whole(*turns, size=2000)],
    )["heard"][0]
    stream, used = model.stream(turns[0]), []
    for i, begin in enumerate(range(0, len(samples), 2000)):
        stream.set_level(turns[i % 3])
        used.append(library.c.omni_stream_level(stream.handle))
        stream.accept(samples[begin : begin + 2000])
    assert (found["text"], found["tokens"], found["frames"]) == stream.finish()
    assert found["used"] == used == [model.levels.index(turns[i % 3]) for i in range(len(used))]


def test_utterances_end_at_the_same_places(page, library, packed, tmp_path):
    samples, model = sound(6.0), library.open(packed["pausing"].path)
    found = in_node(
        page,
        model=packed["pausing"].path,
        samples=written(tmp_path / "samples", samples),
        runs=[whole("dense", rules=[0.52, 0.28, 1.5])],
    )["heard"][0]
    stream = model.stream("dense")
    stream.set_rules(EndpointRules(0.52, 0.28, 1.5))
    utterances = stream.utterances(samples, 5000)
    texts = [" ".join(word for word, _, _ in one.words) for one in utterances]
    assert [*found["ended"], found["text"]] == texts
    assert len(list(filter(None, texts))) > 1


@pytest.mark.parametrize("kind, width", [("demo", 34), ("int8", 10)])
def test_a_level_says_how_many_blocks_it_has(kind, width, page, library, packed):
    model, file = library.open(packed[kind].path), PackedFile(packed[kind].path)
    told = in_node(page, model=packed[kind].path, runs=[])["levels"]
    assert [one["name"] for one in told] == model.levels == list(file.subnets)
    for one in told:
        assert one["blocks"] == model.ask("level_blocks", one["number"])
        assert one["bytes"] == model.ask("level_bytes", one["number"]) == width * one["blocks"]
    assert told[0]["blocks"] > told[1]["blocks"] > told[2]["blocks"] > 0
    assert model.ask("level_blocks", 3) == model.ask("level_bytes", -1) == -1


def test_what_is_no_packed_file_is_refused_in_the_same_words(page, library, packed, tmp_path):
    whole_file = packed["tiny"].path.read_bytes()
    for number, data in enumerate([b"", b"RIFF" * 20, whole_file[:-64], whole_file[:1000]]):
        path = tmp_path / str(number)
        path.write_bytes(data)
        with pytest.raises(Refused) as refused:
            library.open(path)
        said = in_node(page, model=path, runs=[])["refused"]
        assert said.removeprefix("packed file:") == str(refused.value).removeprefix(f"{path}:")


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_microphones_rate_becomes_the_models(rate, page, tmp_path):
    """A tone is the same tone; what 16 kHz cannot hold is gone; pieces are as the whole."""
    t = np.arange(rate) / rate
    tone = 0.5 * np.sin(2 * np.pi * 1000 * t)
    high = 0.5 * np.sin(2 * np.pi * 10000 * t) if rate > 20000 else 0 * t
    path = written(tmp_path / "samples", tone + high)
    made = np.array(in_node(page, samples=path, **{"from": rate}, size=rate))
    assert 15800 < len(made) <= 16000
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(made)) / 16000)
    np.testing.assert_allclose(made[200:-200], expected[200:-200], atol=2e-3)
    assert np.array_equal(in_node(page, samples=path, **{"from": rate}, size=128), made)
