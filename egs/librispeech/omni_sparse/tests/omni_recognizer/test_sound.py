# SPDX-License-Identifier: Apache-2.0
"""Sound files: wav by the C library, others by soundfile."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import soundfile

from omni_recognizer import RecognizerError
from omni_recognizer.sound import read_sound
from tests.support.runtime.transducers import sound


@pytest.fixture
def read(library):
    """Samples of a file."""
    return lambda path: np.concatenate([*read_sound(library, str(path)), np.zeros(0)])


KINDS = [("s.wav", "PCM_16"), ("s.wav", "FLOAT"), ("s.flac", "PCM_16"), ("s.flac", "PCM_24")]


@pytest.mark.parametrize(("name", "subtype"), KINDS)
def test_samples_are_those_that_were_written(name, subtype, read, tmp_path):
    soundfile.write(tmp_path / name, sound(), 16000, subtype=subtype)
    np.testing.assert_array_equal(read(tmp_path / name), sound())


@pytest.mark.parametrize(("name", "subtype"), KINDS)
def test_of_two_channels_it_is_the_mean(name, subtype, read, tmp_path):
    two = np.stack([sound(), np.zeros_like(sound())], 1)
    soundfile.write(tmp_path / name, two, 16000, subtype=subtype)
    np.testing.assert_array_equal(read(tmp_path / name), sound() / 2)


@pytest.mark.parametrize("name", ["s.wav", "s.flac"])
def test_another_sampling_rate_is_told(name, read, tmp_path):
    soundfile.write(tmp_path / name, sound(), 8000)
    with pytest.raises(RecognizerError, match=f"{name}: 8000 samples a second; resample it to 160"):
        read(tmp_path / name)


def test_a_file_that_is_not_there_is_told(read, tmp_path):
    with pytest.raises(RecognizerError, match="none.wav: No such file or directory$"):
        read(tmp_path / "none.wav")


def test_a_folder_is_told(read, tmp_path):
    with pytest.raises(RecognizerError, match="Is a directory$"):
        read(tmp_path)


def test_what_is_no_sound_is_told(read, tmp_path):
    (tmp_path / "s.txt").write_text("no sound " * 100)
    with pytest.raises(RecognizerError, match="s.txt: no sound that can be read"):
        read(tmp_path / "s.txt")


def test_a_cut_wav_file_is_told(read, tmp_path):
    soundfile.write(tmp_path / "s.wav", sound(), 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "s.wav").read_bytes()[:30])
    with pytest.raises(RecognizerError, match="cut.wav: a wav file that ends within its header"):
        read(tmp_path / "cut.wav")


def test_without_soundfile_wav_is_read_and_the_package_is_named(read, tmp_path, monkeypatch):
    for name in ("s.wav", "s.flac"):
        soundfile.write(tmp_path / name, sound(), 16000)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    np.testing.assert_array_equal(read(tmp_path / "s.wav"), sound())
    with pytest.raises(RecognizerError, match="s.flac: .* pip install soundfile"):
        read(tmp_path / "s.flac")
