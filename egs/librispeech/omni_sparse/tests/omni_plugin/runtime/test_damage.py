# SPDX-License-Identifier: Apache-2.0
"""Truncated and altered packed files are refused in one line, and never crash the program."""

import re
import struct
from pathlib import Path

import pytest

from omni_plugin.errors import OmniError
from omni_plugin.runtime import PackedFile, header, linear
from tests.support.runtime.fuzz import read
from tests.support.runtime.layers import LEVELS, run_apart, run_sanitized, supernet, write_levels

FUZZ = "tests.support.runtime.fuzz"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> bytes:
    return write_levels(tmp_path_factory.mktemp("whole") / "m", supernet()).read_bytes()


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(OmniError) as error:
        for number in range(len(LEVELS)):
            read(path, number)
    return str(error.value)


def test_a_file_cut_anywhere_is_refused(tmp_path, data):
    for length in [0, 1, 7, 8, 19, 20, 100, *range(200, len(data), 97), len(data) - 1]:
        assert "make or fetch it again" in refused(tmp_path / "m", data[:length])


def test_a_longer_file_is_refused(tmp_path, data):
    said = refused(tmp_path / "m", data + b"\0")
    assert f"{len(data) + 1} bytes where its header tells of {len(data)}" in said


def test_any_other_bit_of_a_section_is_refused(tmp_path, data):
    path = tmp_path / "m"
    path.write_bytes(data)
    file = PackedFile(path)
    bands = [section for layer in file._header.layers for _, section in layer.bands]
    rests = [layer.rest for layer in file._header.layers]
    tensors = [entry.section for entry in file._header.tensors]
    for section in [*bands, *rests, *tensors]:
        altered = bytearray(data)
        altered[file._begin + section.offset + section.size // 2] ^= 16
        assert "are damaged" in refused(path, altered)


def test_any_other_bit_of_the_header_is_refused(tmp_path, data):
    for position in range(8, header._START.size + 300, 3):
        altered = bytearray(data)
        altered[position] ^= 1
        refused(tmp_path / "m", altered)


def test_what_is_no_packed_file_is_told(tmp_path):
    assert "m: it is no packed file" in refused(tmp_path / "m", b"PK\x03\x04" + bytes(1000))


def test_another_version_is_told(tmp_path, data):
    altered = data[:8] + struct.pack("<I", 3) + data[12:]
    assert "of version 3; this program reads versions 1 and 2" in refused(tmp_path / "m", altered)


def test_random_damage_is_refused_or_changes_nothing():
    said = run_apart(FUZZ, "--number", "3000")
    assert int(re.search(r"'refused': (\d+)", said)[1]) > 2000


def test_forged_files_never_crash():
    said = run_apart(FUZZ, "--number", "1500", "--forge")
    assert int(re.search(r"'read': (\d+)", said)[1]) > 100


def test_forged_files_touch_no_foreign_memory(tmp_path):
    said = run_sanitized(linear._SOURCE, tmp_path, FUZZ, "--number", "300", "--forge")
    assert int(re.search(r"'read': (\d+)", said)[1]) > 20
