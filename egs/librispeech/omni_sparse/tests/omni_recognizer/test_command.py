# SPDX-License-Identifier: Apache-2.0
"""omni-transcribe of the package: it prints what the C program of that name prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from omni_recognizer import command, load
from tests.support.runtime.c_library import make
from tests.support.runtime.transducers import save_sound, sound

QUICK = "--rule1-min-trailing-silence 0.52 --rule2-min-trailing-silence 0.28".split()
OPTIONS = [
    [],
    QUICK,
    ["--sparsity", "0.5", *QUICK],
    ["--subnet", "dense", "--timestamps", *QUICK],
    ["--beam-size", "4", "--timestamps", *QUICK],
    ["--enable-endpoint", "false"],
    ["--rule3-min-utterance-length", "1.5"],
]


@pytest.fixture(scope="module")
def wav(tmp_path_factory) -> Path:
    return save_sound(tmp_path_factory.mktemp("sound") / "s.wav", 6.0)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("omni_runtime")) / "omni-transcribe"


@pytest.fixture
def run(library, monkeypatch, capfd):
    """What the command prints, with the exit status and what it complains of."""
    monkeypatch.setattr("omni_recognizer.model.open_library", lambda: library)

    def run(*words: object) -> tuple[int, str, str]:
        status = command.main([str(word) for word in words])
        return status, *capfd.readouterr()

    return run


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_it_prints_what_the_c_program_prints(options, run, program, made, wav):
    expected = subprocess.check_output([program, made.path, wav, *options], text=True)
    assert run(made.path, wav, *options) == (0, expected, "")


def test_levels_are_listed_as_by_the_c_program(run, program, made):
    expected = subprocess.check_output([program, made.path, "--list"], text=True)
    assert run(made.path, "--list") == (0, expected, "")


def test_json_is_the_transcript(run, library, made, wav):
    status, out, _ = run(made.path, wav, "--sparsity", "0.9", "--json", *QUICK)
    found = json.loads(out)
    rules = command.endpoint_rules(command._parser().parse_args(["m", *QUICK]))
    expected = load(made.path, library).transcribe(wav, 0.9, rules=rules)
    assert status == 0 and found == expected.to_dict()
    assert found["text"] == expected.text and found["level"] == "0.90"
    assert len(found["segments"]) > 1 and found["file"] == str(wav)


def test_a_mistake_is_one_line(run, made, tmp_path):
    status, out, told = run(made.path, tmp_path / "none.wav")
    assert (status, out) == (1, "")
    assert told == f"omni-transcribe: {tmp_path}/none.wav: No such file or directory\n"


@pytest.mark.parametrize("words", [["m"], ["m", "s", "--sparsity", "0", "--subnet", "dense"]])
def test_what_is_missing_or_contradicts_is_told(words, run):
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2


# The installed one, in a process of its own.


def installed_command(installed: Path, *words: object, **given) -> subprocess.CompletedProcess:
    line = [sys.executable, str(installed / "bin" / "omni-transcribe"), *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(line, env=env, capture_output=True, check=False, **given)


def test_standard_input_is_a_wav_file_or_pcm(installed, program, made, wav):
    expected = subprocess.check_output([program, made.path, wav])
    pcm = (sound(6.0) * 32768).astype("<i2").tobytes()
    for given in (wav.read_bytes(), pcm):
        done = installed_command(installed, made.path, "-", input=given)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_a_reader_may_stop(installed, made, wav):
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, str(installed / "bin" / "omni-transcribe"), str(made.path), str(wav)]
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(line, env=env, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
