# SPDX-License-Identifier: Apache-2.0
"""Saved streams of the C library: they go on as if nothing had been; other bytes are refused."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest

from tests.support.processes import RECIPE
from tests.support.runtime.c_library import Refused
from tests.support.runtime.layers import INSTRUCTIONS
from tests.support.runtime.transducers import QUICK, sound

BEAMS = pytest.mark.parametrize("beam_size", [1, 4])
KINDS = ["tiny", "conv", "int8", "pausing"]
#: Bytes before the checksum ends, which is of all that follow.
CHECKED = 16


def halves(seconds: float = 4.0, at: int = 27001) -> tuple[np.ndarray, np.ndarray]:
    return np.split(sound(seconds), [at])


def stream_of(library, packed, kind="pausing", beam_size=1, rules=None):
    """A stream that has heard the first half."""
    stream = library.open(packed[kind].path).stream("0.50", beam_size)
    stream.set_rules(rules)
    stream.accept(halves()[0])
    stream.ended()
    return stream


@BEAMS
@pytest.mark.parametrize("rules", [None, QUICK])
@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_stream_goes_on_to_the_bit(kind, rules, beam_size, library, packed):
    first = stream_of(library, packed, kind, beam_size, rules)
    other = library.open(packed[kind].path).restore(first.state)
    assert other.heard == first.heard and other.utterance == first.utterance
    number = len(first.encoder)
    assert other.utterances(halves()[1], 999) == first.utterances(halves()[1], 999)
    assert np.array_equal(np.stack(other.encoder), np.stack(first.encoder[number:]))


@BEAMS
def test_it_may_be_saved_anywhere(beam_size, library, packed):
    model, samples = library.open(packed["tiny"].path), sound(1.0)
    expected = model.stream("dense", beam_size).run(samples)
    for at in [0, 1, 119, 120, 279, 280, 281, *range(400, len(samples), 1777), len(samples)]:
        stream = model.stream("dense", beam_size)
        stream.accept(samples[:at])
        stream = model.restore(stream.state)
        stream.accept(samples[at:])
        assert stream.finish() == expected


@BEAMS
def test_what_is_restored_is_saved_as_the_same_bytes(beam_size, library, packed):
    stream = stream_of(library, packed, "demo", beam_size, QUICK)
    assert library.open(packed["demo"].path).restore(stream.state).state == stream.state


def test_the_level_is_restored(library, packed):
    stream = stream_of(library, packed, "demo")
    stream.set_level("0.90")
    other = stream.model.restore(stream.state)
    assert other.run(halves()[1]) == stream.run(halves()[1])


def test_a_stream_that_has_ended_is_restored_as_such(library, packed):
    stream = stream_of(library, packed, "tiny")
    heard = stream.finish()
    other = stream.model.restore(stream.state)
    assert other.heard == heard
    with pytest.raises(Refused, match="has ended; reset it"):
        other.accept(sound(0.1))
    other.reset()
    assert other.run(sound(1.0)) == stream.model.stream("0.50").run(sound(1.0))


_OTHER = """
import sys
from pathlib import Path
from tests.omni_runtime.test_saved_streams import halves
from tests.support.runtime.c_library import CLibrary
library, model, state = map(Path, sys.argv[1:])
print(CLibrary(library).open(model).restore(state.read_bytes()).run(halves()[1]))
"""


@BEAMS
def test_another_process_goes_on_the_same(beam_size, library, built, packed, tmp_path):
    stream = stream_of(library, packed, "demo", beam_size)
    (tmp_path / "state").write_bytes(stream.state)
    command = [sys.executable, "-c", _OTHER, built / "libomni_runtime.so", packed["demo"].path]
    done = subprocess.run(
        [*command, tmp_path / "state"], capture_output=True, text=True, cwd=RECIPE
    )
    assert done.stdout == f"{stream.run(halves()[1])}\n", done.stderr


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_other_instructions_go_on(instructions, library, packed, monkeypatch):
    stream = stream_of(library, packed, "demo", 4)
    monkeypatch.setenv("OMNI_INSTRUCTIONS", instructions)
    other = library.open(packed["demo"].path).restore(stream.state)
    assert other.run(halves()[1]).text == stream.run(halves()[1]).text


def refused(model, state: bytes) -> str:
    with pytest.raises(Refused) as error:
        model.restore(state)
    return str(error.value)


def test_a_stream_of_another_model_is_refused(library, packed):
    state = stream_of(library, packed, "demo").state
    for kind in ("pausing", "int8", "tiny"):
        told = refused(library.open(packed[kind].path), state)
        assert told == "the stream was saved with another model"


def test_other_bytes_are_refused(library, packed):
    stream = stream_of(library, packed, "tiny", 4)
    state, model = stream.state, stream.model
    assert refused(model, b"") == refused(model, bytes(1000)) == "it is no saved stream"
    newer = state[:8] + b"\2" + state[9:]
    assert refused(model, newer) == "a stream saved as version 2; this program reads version 1"
    for other in (state[:40], state[:-1], state + b"\0", state[:-1] + bytes([state[-1] ^ 1])):
        assert refused(model, other) == "the saved stream is damaged"
    for at in range(CHECKED, len(state), 997):
        other = state[:at] + bytes([state[at] ^ 4]) + state[at + 1 :]
        assert refused(model, other) == "the saved stream is damaged"


def forged(state: bytes) -> bytes:
    """With a checksum that fits."""
    return (
        state[: CHECKED - 4] + zlib.crc32(state[CHECKED:]).to_bytes(4, "little") + state[CHECKED:]
    )


def test_impossible_numbers_are_refused_whatever_the_checksum(library, packed):
    stream = stream_of(library, packed, "tiny", 4)
    state, model = stream.state, stream.model
    assert model.restore(forged(state)).heard == stream.heard
    assert "no level 9; the file has 3" in refused(model, forged(state[:24] + b"\11" + state[25:]))
    assert "a beam of 204" in refused(model, forged(state[:28] + b"\314" + state[29:]))
    emissions = len(stream.heard.tokens)
    for at, what in [(32, "samples"), (40, "phase"), (len(state) - 24 * emissions, "emissions")]:
        other = state[:at] + b"\xee" * 8 + state[at + 8 :]
        assert refused(model, forged(other)) == "the saved stream is damaged", what
    assert refused(model, forged(state[:-24])) == "the saved stream is damaged"


def test_too_little_memory_is_refused(library, packed):
    stream = stream_of(library, packed, "tiny")
    size = library.c.omni_stream_state_size(stream.handle)
    with pytest.raises(Refused, match=f"{size - 1} bytes for a stream of {size}"):
        library.call("omni_stream_save", stream.handle, bytes(size - 1), size - 1)
