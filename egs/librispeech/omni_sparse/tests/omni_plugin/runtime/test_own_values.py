# SPDX-License-Identifier: Apache-2.0
"""Packed files whose sub-networks have values of their own, as those of several trainings have."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from torch import nn

from omni_plugin.errors import OmniError
from omni_plugin.runtime import PackedFile, header, use_packed, write_packed
from tests.support.runtime.fuzz import forged
from tests.support.runtime.hostile import HOSTILE
from tests.support.runtime.layers import (
    LEVELS,
    model,
    own_states,
    supernet,
    write_levels,
    write_own,
)

VALUES = pytest.mark.parametrize("values", ["float32", "int8"])


@pytest.fixture
def packed(tmp_path) -> PackedFile:
    return PackedFile(write_own(tmp_path / "own"))


def version_of(path: Path) -> int:
    return struct.unpack_from("<I", path.read_bytes(), 8)[0]


def stored(file: PackedFile) -> list[str]:
    """What a file's parts are called."""
    return [part.name for part in [*file._header.layers, *file._header.tensors]]


@pytest.mark.parametrize("subnet", LEVELS)
def test_each_sub_network_is_bit_by_bit_what_was_packed(packed, subnet):
    expected = own_states()[subnet]
    for name, matrix in packed.matrices(subnet).items():
        assert torch.equal(matrix.dense(), expected.pop(f"{name}.weight"))
        bias = expected.pop(f"{name}.bias", torch.zeros(matrix.rows))
        assert torch.equal(matrix.bias[: matrix.rows], bias)
    tensors = packed.tensors(subnet)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], value) for name, value in expected.items())


def test_a_model_switches_between_them(packed):
    used, x = model(), torch.randn(3, 6, 20)
    for subnet in [*LEVELS, *LEVELS]:
        use_packed(used, packed, subnet)
        expected = model()
        expected.load_state_dict(own_states()[subnet])
        torch.testing.assert_close(used(x), expected(x).detach(), atol=1e-5, rtol=1e-5)


def test_int8_values_are_within_half_a_step_of_the_rows_own_scale(tmp_path):
    """A sub-network's scales are not made of another training's weights."""
    packed = PackedFile(write_own(tmp_path / "m", "int8"))
    states = own_states()
    for subnet, of in {"0": "0", "0.5": "0.5", "0.9": "0.5"}.items():
        for name, matrix in packed.matrices(subnet).items():
            exact = states[subnet][f"{name}.weight"]
            step = states[of][f"{name}.weight"].abs().amax(1, keepdim=True) / 127
            assert ((matrix.dense() - exact).abs() <= 0.501 * step).all()


@VALUES
def test_what_is_the_same_in_a_supernet_is_written_as_ever(tmp_path, values):
    """Byte for byte, and of the version that older readers read."""
    paths = write_levels(tmp_path / "a", supernet(), values=values), tmp_path / "b"
    states = [(level, supernet().bake(level)) for level in LEVELS]
    write_packed(paths[1], model(), states, values, own_values=True)
    assert paths[0].read_bytes() == paths[1].read_bytes() and version_of(paths[0]) == 1


def test_a_file_with_values_of_their_own_is_of_version_2(packed):
    assert version_of(packed.path) == 2


def test_sub_networks_that_fit_an_earlier_one_share_its_blocks(packed):
    assert [name for name in stored(packed) if name.startswith("0.9/")] == ["0.9/1.weight"]
    sizes = {subnet: packed.bytes_of(subnet) for subnet in LEVELS}
    assert packed.size < sizes["0"] + sizes["0.5"] + 4096


def test_what_is_as_in_the_first_is_not_stored_again(tmp_path):
    states = own_states()
    again = {**states["0"], "1.bias": torch.ones(27)}
    write_packed(tmp_path / "m", model(), [("a", states["0"]), ("b", again)], own_values=True)
    found = stored(PackedFile(tmp_path / "m"))
    assert [name for name in found if "/" in name] == ["b/1.bias"]


def test_a_bias_of_its_own_makes_a_layer_of_its_own(tmp_path):
    states = own_states()
    again = {**states["0"], "4.bias": torch.ones(9)}
    write_packed(tmp_path / "m", model(), [("a", states["0"]), ("b", again)], own_values=True)
    file = PackedFile(tmp_path / "m")
    assert [name for name in stored(file) if "/" in name] == ["b/4"]
    assert torch.equal(file.matrices("b")["4"].bias[:9], torch.ones(9))
    assert torch.equal(file.matrices("a")["4"].bias[:9], states["0"]["4.bias"])


def test_sub_networks_that_are_not_nested_have_layers_of_their_own(tmp_path):
    net, weights = nn.Sequential(nn.Linear(2, 8, bias=False)), torch.zeros(2, 8, 2)
    weights[0, :, 0] = weights[1, :, 1] = 1
    states = [(f"s{number}", {"0.weight": weight}) for number, weight in enumerate(weights)]
    write_packed(tmp_path / "m", net, states, own_values=True)
    for subnet, state in states:
        found = PackedFile(tmp_path / "m").matrices(subnet)["0"]
        assert torch.equal(found.dense(), state["0.weight"])


def test_the_tensors_of_no_sub_network_in_particular_are_the_firsts(packed):
    assert torch.equal(packed.tensors()["1.weight"], own_states()["0"]["1.weight"])


@VALUES
def test_bytes_of_a_sub_network_are_those_that_are_read(tmp_path, values, monkeypatch):
    packed, read, section = PackedFile(write_own(tmp_path / "m", values)), [], PackedFile._read

    def counted(self, file, place):
        read.append(place.size)
        return section(self, file, place)

    monkeypatch.setattr(PackedFile, "_read", counted)
    for subnet in LEVELS:
        read.clear()
        packed.matrices(subnet), packed.tensors(subnet)
        assert packed.bytes_of(subnet) == sum(read)


# What is refused.


def test_they_are_refused_unless_they_are_asked_for(tmp_path):
    with pytest.raises(OmniError, match="0: the sub-networks differ in weights that both keep"):
        write_packed(tmp_path / "m", model(), own_states().items())
    assert list(tmp_path.iterdir()) == []


def test_a_sub_network_of_other_shapes_is_refused(tmp_path):
    states = own_states()
    states["0.9"]["1.bias"] = torch.ones(28)
    with pytest.raises(OmniError, match="sub-network 0.9 has other parts than the first"):
        write_packed(tmp_path / "m", model(), states.items(), own_values=True)


def test_a_name_that_would_be_there_twice_is_refused(tmp_path):
    net = nn.ModuleDict({"a": nn.Linear(2, 8, bias=False), "b/a": nn.Linear(2, 8, bias=False)})
    first = net.state_dict()
    states = [("a", first), ("b", {name: value + 1 for name, value in first.items()})]
    with pytest.raises(OmniError, match="two parts would be called 'b/a'; give 'b' another name"):
        write_packed(tmp_path / "m", net, states, own_values=True)


@pytest.mark.parametrize("change, said", HOSTILE.values(), ids=HOSTILE)
def test_a_header_that_contradicts_itself_is_refused(packed, change, said):
    packed.path.write_bytes(forged(packed.path.read_bytes(), change))
    with pytest.raises(OmniError, match=f"own: its header is impossible: .*({said})"):
        PackedFile(packed.path)


def test_a_member_that_is_there_twice_is_refused(packed):
    data = packed.path.read_bytes()
    names = b'"0.5":', b'"0.9":'
    at = data.index(b'"own":')
    altered = bytearray(data[:at] + data[at:].replace(names[1], names[0], 1))
    begin, length = header._START.size, struct.unpack_from("<I", data, 12)[0]
    checksum = header.zlib.crc32(altered[begin : begin + length])
    altered[16:20] = struct.pack("<I", checksum)
    packed.path.write_bytes(altered)
    with pytest.raises(OmniError, match="two members of it have the same name"):
        PackedFile(packed.path)
