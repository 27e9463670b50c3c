# SPDX-License-Identifier: Apache-2.0
"""omni-transcribe: sound files and pipes, levels, time stamps, mistakes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.runtime.c_library import make
from tests.support.runtime.transducers import SUBNETS, in_pytorch, sound


@pytest.fixture(scope="module")
def tool(built) -> Path:
    return built / "omni-transcribe"


@pytest.fixture(scope="module")
def wav(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "s.wav"
    soundfile.write(path, sound(), 16000, subtype="PCM_16")
    return path


def run(tool: Path, *words: object, stdin: bytes = b"") -> str:
    done = subprocess.run([tool, *map(str, words)], input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def mistake(tool: Path, *words: object, status: int = 1, stdin: bytes = b"") -> str:
    """What is said in one line."""
    done = subprocess.run([tool, *map(str, words)], input=stdin, capture_output=True)
    assert done.returncode == status
    (line,) = done.stderr.decode().splitlines()
    return line


@pytest.mark.parametrize("subnet", SUBNETS)
def test_it_prints_the_text(subnet, tool, packed, wav):
    made, expected = packed["demo"], in_pytorch(packed["demo"], sound(), [subnet]).text
    assert run(tool, made.path, wav, "--subnet", subnet) == expected + "\n"
    assert run(tool, made.path, wav, "--sparsity", SUBNETS[subnet]) == expected + "\n"


def test_sound_of_any_form_gives_the_same(tool, packed, wav, tmp_path):
    path, samples = packed["demo"].path, sound()
    expected = run(tool, path, wav)
    soundfile.write(tmp_path / "float.wav", samples, 16000, subtype="FLOAT")
    two = np.stack([samples, samples], 1)
    soundfile.write(tmp_path / "two.wav", two, 16000, subtype="PCM_16", format="WAVEX")
    assert run(tool, path, tmp_path / "float.wav") == expected
    assert run(tool, path, tmp_path / "two.wav") == expected
    pcm = (samples * 32768).astype("<i2").tobytes()
    assert run(tool, path, "-", stdin=pcm) == expected
    assert run(tool, path, "-", stdin=pcm + b"\0") == expected  # half a sample more
    assert run(tool, path, "-", stdin=wav.read_bytes()) == expected


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_file_of_unknown_length_is_read_to_its_end(size, tool, packed, wav):
    data = bytearray(wav.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = size.to_bytes(4, "little")
    path = packed["demo"].path
    assert run(tool, path, "-", stdin=bytes(data)) == run(tool, path, wav)


def test_time_stamps_are_those_of_the_words_first_symbols(tool, packed, wav):
    made = packed["demo"]
    expected = in_pytorch(made, sound(), ["dense"])
    lines = [line.split() for line in run(tool, made.path, wav, "--timestamps").splitlines()]
    assert [word for _, word in lines] == expected.text.split()
    pieces = [made.info.tokens[token] for token in expected.tokens]
    silent, begins, inside = ("<sos/eos>", "<unk>"), [], False
    for piece, frame in zip(pieces, expected.frames, strict=True):
        if piece in silent:
            continue
        if piece.startswith("\u2581") or not inside:
            begins.append(f"{frame * 0.04:.2f}")
        inside = True
    assert [at for at, _ in lines] == begins


def test_levels_are_listed(tool, packed):
    lines = run(tool, packed["demo"].path, "--list").splitlines()
    assert [line.split("\t")[0] for line in lines] == list(SUBNETS)


def test_the_static_program_says_the_same(packed, wav, tool, tmp_path):
    if not list(Path("/usr").glob("lib*/**/libc.a")):
        pytest.skip("NO STATIC C LIBRARY: the static program is not tested")
    static = make(tmp_path, "static") / "omni-transcribe"
    assert run(static, packed["demo"].path, wav) == run(tool, packed["demo"].path, wav)


def test_mistakes_are_told_in_one_line(tool, packed, wav, tmp_path):
    path = packed["demo"].path
    assert "no level is called 0.7; known: dense 0.50 0.90" in mistake(
        tool, path, wav, "--sparsity", "0.7"
    )
    assert "No such file" in mistake(tool, tmp_path / "none", wav)
    assert "No such file" in mistake(tool, path, tmp_path / "none.wav")
    assert "it is no packed file" in mistake(tool, wav, wav)
    assert "it is no wav file" in mistake(tool, path, path)
    assert "no such option" in mistake(tool, path, wav, "--fast", status=2)
    assert "takes a value" in mistake(tool, path, wav, "--sparsity", status=2)
    soundfile.write(tmp_path / "8.wav", sound(), 8000)
    assert "8000 samples a second; resample it to 16000" in mistake(tool, path, tmp_path / "8.wav")
    soundfile.write(tmp_path / "24.wav", sound(), 16000, subtype="PCM_24")
    assert "with 24 bits; 16-bit PCM and 32-bit" in mistake(tool, path, tmp_path / "24.wav")
    cut = wav.read_bytes()[:30]
    assert "ends within its header" in mistake(tool, path, "-", stdin=cut)
    nan = np.full(1000, np.nan, np.float32)
    soundfile.write(tmp_path / "nan.wav", nan, 16000, subtype="FLOAT")
    assert "not finite numbers" in mistake(tool, path, tmp_path / "nan.wav")
