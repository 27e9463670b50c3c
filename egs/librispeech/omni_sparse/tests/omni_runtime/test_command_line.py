# SPDX-License-Identifier: Apache-2.0
"""omni-transcribe: sound files and pipes, levels, time stamps, mistakes."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omni_emformer.live.transcriber import Stream, Transcriber
from omni_emformer.runtime.model import load_packed
from omni_recognizer.endpoint import EndpointRules
from tests.support.runtime.c_library import make
from tests.support.runtime.transducers import SUBNETS, in_pytorch, save_sound, sound


@pytest.fixture(scope="module")
def tool(built) -> Path:
    return built / "omni-transcribe"


@pytest.fixture(scope="module")
def wav(tmp_path_factory) -> Path:
    return save_sound(tmp_path_factory.mktemp("sound") / "s.wav")


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
            begins.append(f"{min(frame * 0.04, 3.0):.2f}")  # none is after the sound's end
        inside = True
    assert [at for at, _ in lines] == begins


def test_an_utterance_is_a_line(tool, packed, tmp_path):
    """As of the library's streams; and one where nothing ends utterances."""
    path, samples = packed["pausing"].path, sound(8.0)
    soundfile.write(tmp_path / "s.wav", samples, 16000, subtype="FLOAT")
    rules = dataclasses.asdict(EndpointRules(0.52, 0.28, 1.5))
    words = [f"--{name.replace('_', '-')}={value}" for name, value in rules.items()]
    words = [part for word in words for part in word.split("=")]
    transcriber = Transcriber(*load_packed(path, "0.50"), "greedy_search", EndpointRules(**rules))
    stream = Stream(transcriber)
    segments = stream.accept(samples) + stream.finish()
    found = run(tool, path, tmp_path / "s.wav", "--sparsity", "0.5", *words)
    assert found.splitlines() == [segment.text for segment in segments]
    assert len(segments) > 3
    timed = run(tool, path, tmp_path / "s.wav", "--sparsity", "0.5", *words, "--timestamps")
    assert timed.splitlines() == [f"{w.start:.2f} {w.text}" for s in segments for w in s.words]
    words += ["--enable-endpoint", "false"]
    whole = run(tool, path, tmp_path / "s.wav", "--sparsity", "0.5", *words)
    assert whole == in_pytorch(packed["pausing"], samples, ["0.50"]).text + "\n"


@pytest.mark.parametrize("words", [[], ["--timestamps"]])
def test_a_beam_is_searched(words, tool, packed, tmp_path):
    made, samples = packed["pausing"], sound(4.0)
    soundfile.write(tmp_path / "s.wav", samples, 16000, subtype="FLOAT")
    search = dict(method="modified_beam_search", beam_size=4)
    expected = in_pytorch(made, samples, ["dense"], **search).text
    found = run(tool, made.path, tmp_path / "s.wav", "--beam-size", 4, *words)
    assert " ".join(line.split()[-1] if words else line for line in found.splitlines()) == expected
    assert run(tool, made.path, tmp_path / "s.wav", *words) != found


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
    for value in ("0", "65", "four", ""):
        told = mistake(tool, path, wav, "--beam-size", value, status=2)
        assert "--beam-size: takes a number from 1 to 64" in told
    assert "true or false" in mistake(tool, path, wav, "--enable-endpoint", "maybe", status=2)
    for value in ("0", "nan", "1s"):
        told = mistake(tool, path, wav, "--rule2-min-trailing-silence", value, status=2)
        assert "--rule2-min-trailing-silence: takes seconds, above 0" in told
    soundfile.write(tmp_path / "8.wav", sound(), 8000)
    assert "8000 samples a second; resample it to 16000" in mistake(tool, path, tmp_path / "8.wav")
    soundfile.write(tmp_path / "24.wav", sound(), 16000, subtype="PCM_24")
    assert "with 24 bits; 16-bit PCM and 32-bit" in mistake(tool, path, tmp_path / "24.wav")
    cut = wav.read_bytes()[:30]
    assert "ends within its header" in mistake(tool, path, "-", stdin=cut)
    nan = np.full(1000, np.nan, np.float32)
    soundfile.write(tmp_path / "nan.wav", nan, 16000, subtype="FLOAT")
    assert "not finite numbers" in mistake(tool, path, tmp_path / "nan.wav")
