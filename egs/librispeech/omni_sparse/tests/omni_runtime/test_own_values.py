# SPDX-License-Identifier: Apache-2.0
"""The C library on files whose sub-networks have values of their own, against PyTorch."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from omni_emformer.runtime.model import load_packed
from omni_plugin.runtime import PackedFile
from tests.support.runtime.c_library import Refused
from tests.support.runtime.fuzz import forged
from tests.support.runtime.hostile import HOSTILE
from tests.support.runtime.transducers import SUBNETS, in_pytorch, sound

KINDS = pytest.mark.parametrize("kind", ["own demo", "own conv"])
BEAMS = pytest.mark.parametrize("beam_size", [1, 4])
TURNS = ["0.90", "dense", "0.50"]


def expected(made, samples, subnets, beam_size=1):
    if beam_size == 1:
        return in_pytorch(made, samples, subnets)
    method = dict(method="modified_beam_search", beam_size=beam_size)
    return in_pytorch(made, samples, subnets, **method)


@KINDS
@BEAMS
@pytest.mark.parametrize("subnet", SUBNETS)
def test_each_level_says_what_its_own_model_says(subnet, beam_size, kind, library, packed):
    wanted = expected(packed[kind], sound(), [subnet], beam_size)
    stream = library.open(packed[kind].path).stream(subnet, beam_size)
    assert stream.run(sound()) == wanted[:3]
    np.testing.assert_allclose(np.stack(stream.encoder), torch.stack(wanted.encoder), atol=1e-4)


@KINDS
@BEAMS
def test_levels_may_change_between_chunks(beam_size, kind, library, packed):
    """With all that is theirs: of the decoder, too, nothing is left that another level said."""
    made, model = packed[kind], library.open(packed[kind].path)
    wanted = expected(made, sound(), TURNS, beam_size)
    stream, samples = model.stream(TURNS[0], beam_size), np.pad(sound(), (0, 16000))
    for begin in range(0, len(samples), 100):
        before = len(stream.encoder)
        if before == len(wanted.encoder):
            break
        stream.accept(samples[begin : begin + 100])
        if len(stream.encoder) > before:
            stream.set_level(TURNS[(before + 1) % 3])
    assert stream.heard == wanted[:3]
    np.testing.assert_allclose(np.stack(stream.encoder), torch.stack(wanted.encoder), atol=1e-4)


@BEAMS
def test_a_stream_that_is_saved_before_a_switch_goes_on_alike(beam_size, library, packed):
    model = library.open(packed["own demo"].path)
    first, (begin, end) = model.stream("dense", beam_size), np.split(sound(), [27001])
    first.accept(begin)
    other = library.open(packed["own demo"].path).restore(first.state)
    heard = []
    for stream in (first, other):
        stream.set_level("0.90")
        heard.append(stream.run(end))
    assert heard[0] == heard[1]


def test_a_level_that_is_saved_is_that_which_goes_on(library, packed):
    model = library.open(packed["own demo"].path)
    stream, (begin, end) = model.stream("dense"), np.split(sound(), [27001])
    stream.accept(begin)
    stream.set_level("0.50")
    assert model.restore(stream.state).run(end) == stream.run(end)


@pytest.mark.parametrize("subnet", SUBNETS)
def test_int8_is_that_of_the_python_runtime(subnet, library, packed):
    made = packed["own int8"]
    model, _ = load_packed(made.path, subnet)
    stream = library.open(made.path).stream(subnet)
    found = stream.run(sound())
    wanted = in_pytorch(made._replace(models={subnet: model}), sound(), [subnet], stream.features)
    assert found == wanted[:3]


def test_bytes_of_a_level_are_those_of_its_own_blocks(library, packed):
    file, model = PackedFile(packed["own demo"].path), library.open(packed["own demo"].path)
    for number, subnet in enumerate(SUBNETS):
        blocks = sum(len(matrix.band.columns) for matrix in file.matrices(subnet).values())
        assert model.ask("level_blocks", number) == blocks
        assert model.ask("level_bytes", number) == blocks * (8 * 4 + 2)


@pytest.mark.parametrize("change, said", HOSTILE.values(), ids=HOSTILE)
def test_a_header_that_contradicts_itself_is_refused(change, said, library, packed, tmp_path):
    (tmp_path / "m").write_bytes(forged(packed["own demo"].path.read_bytes(), change))
    with pytest.raises(Refused) as error:
        library.open(tmp_path / "m")
    assert re.search(f"m: its header is impossible: .*({said})", str(error.value))


def test_damage_to_values_of_its_own_is_refused(library, packed, tmp_path):
    file = PackedFile(packed["own demo"].path)
    (entry,) = (e for e in file._header.tensors if e.name == "0.90/decoder.embedding.weight")
    altered = bytearray(file.path.read_bytes())
    altered[file._begin + entry.section.offset] ^= 16
    (tmp_path / "m").write_bytes(altered)
    with pytest.raises(Refused, match="are damaged"):
        library.open(tmp_path / "m")
