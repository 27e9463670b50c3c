# SPDX-License-Identifier: Apache-2.0
"""Packed files that the C library refuses, by the Python reader's message where both see it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from omni_plugin.errors import OmniError
from omni_plugin.runtime import PackedFile, write_packed
from tests.support.runtime.c_library import Refused, make
from tests.support.runtime.fuzz import forged
from tests.support.runtime.layers import model as some_model


@pytest.fixture(scope="module")
def data(packed) -> bytes:
    return packed["tiny"].path.read_bytes()


def refused(library, path: Path, data: bytes) -> str:
    """What the library says of a file, of which every level is read."""
    path.write_bytes(data)
    with pytest.raises(Refused) as error:
        opened = library.open(path)
        for level in opened.levels:
            opened.stream(level)
    return str(error.value)


def refused_by_python(path: Path) -> str:
    with pytest.raises(OmniError) as error:
        file = PackedFile(path)
        for subnet in file.subnets:
            file.matrices(subnet)
    return str(error.value)


def test_a_file_cut_anywhere_is_refused_as_python_does(library, tmp_path, data):
    for length in [20, 100, *range(200, len(data), 997), len(data) - 1]:
        assert refused(library, tmp_path / "m", data[:length]) == refused_by_python(tmp_path / "m")


def test_a_longer_file_is_refused_as_python_does(library, tmp_path, data):
    assert refused(library, tmp_path / "m", data + b"\0") == refused_by_python(tmp_path / "m")


@pytest.mark.parametrize("position", [0, 7, 8, 12, 16, 20, 500])
def test_any_other_bit_of_the_header_is_refused_as_python_does(position, library, tmp_path, data):
    altered = bytearray(data)
    altered[position] ^= 1
    assert refused(library, tmp_path / "m", altered) == refused_by_python(tmp_path / "m")


def test_any_other_bit_of_a_section_is_refused(library, tmp_path, packed, data):
    file = PackedFile(packed["tiny"].path)
    bands = [section for layer in file._header.layers for _, section in layer.bands]
    rests = [layer.rest for layer in file._header.layers]
    tensors = [entry.section for entry in file._header.tensors]
    for section in [*bands, *rests, *tensors]:
        altered = bytearray(data)
        altered[file._begin + section.offset + section.size // 2] ^= 16
        assert "are damaged" in refused(library, tmp_path / "m", altered)


def test_what_is_no_packed_file_is_told(library, tmp_path):
    for other in (b"", b"PK", b"PK\x03\x04" + bytes(1000)):
        assert "m: it is no packed file; make or fetch" in refused(library, tmp_path / "m", other)


def test_a_missing_file_is_told(library, tmp_path):
    with pytest.raises(Refused, match=r"m: cannot be read \(No such file or directory\)"):
        library.open(tmp_path / "m")
    with pytest.raises(Refused, match=r"cannot be read \(Is a directory\)"):
        library.open(tmp_path)


def test_a_packed_file_of_something_else_is_told(library, tmp_path):
    model = some_model()
    write_packed(tmp_path / "m", model, [("a", model.state_dict())])
    with pytest.raises(Refused, match="m: it holds no transducer"):
        library.open(tmp_path / "m")


def _older(text):
    del text["meta"]["transducer"]


def _newer(text):
    text["meta"]["transducer"]["version"] = 3


def _features(text):
    text["meta"]["transducer"]["features"]["window"] = "hamming"


def _config(name, value):
    def change(text):
        text["meta"]["config"]["model"][name] = value

    return change


def _subnet(text):
    text["subnets"]["dense"][0] = 9


def _column(text):
    text["layers"][0][2] = 70000


def _far(text):
    text["layers"][0][4][0] = 1 << 40


@pytest.mark.parametrize(
    "change, said",
    [
        (_older, "an older program wrote it"),
        (_newer, "its transducer is of version 3; this program reads version 2"),
        (_features, "another window than povey"),
        (_config("encoder_dim", 17), "2 heads of 17"),
        (_config("encoder_dim", 32), r"is of shape \(16, 320\) and not \(32, 320\)"),
        (_config("segment", 0), "segment is no whole number from 1 to 1000"),
        (_config("frontend", "x"), "its front end is unknown"),
        (_config("num_layers", 3), "it has no layer encoder.emformer.emformer_layers.2"),
        (_subnet, "its header is impossible: a number of bands is no whole number"),
        (_column, "a number of columns is no whole number from 1 to 65535"),
        (_far, "its header is impossible: a section of"),
        (lambda text: text.pop("tensors"), "it lacks a part"),
        (lambda text: text["meta"].update(tokens=[1]), "a token is no text"),
    ],
)
def test_a_header_that_says_something_else_is_told(change, said, library, tmp_path, data):
    assert re.search(said, refused(library, tmp_path / "m", forged(data, change)))


def test_altered_files_touch_no_foreign_memory(tmp_path_factory, packed):
    folder = tmp_path_factory.mktemp("sanitized")
    try:
        make(folder, "fuzzer")
    except AssertionError as e:
        if "sanitize" not in str(e) and "lasan" not in str(e):
            raise
        pytest.skip("THE COMPILER HAS NO SANITIZERS")
    for kind in ("tiny", "int8", "conv", "own demo"):
        command = [folder / "fuzzed" / "omni-fuzz", packed[kind].path, "1000"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert int(re.search(r"(\d+) opened", done.stdout)[1]) > 300
        assert int(re.search(r"(\d+) refused", done.stdout)[1]) > 200
        assert int(re.search(r"(\d+) restored", done.stdout)[1]) > 900
        assert int(re.search(r"(\d+) not", done.stdout)[1]) > 900
