# SPDX-License-Identifier: Apache-2.0
"""Audio of all kinds as 16 kHz blocks."""

import io
import sys
import wave

import numpy as np
import pytest
import soundfile

from emformer.errors import RecipeError
from local.synthetic.resample import resample
from omni_emformer.live.audio import Resampler, read_audio


def sound(seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    """Noise below 3 kHz that begins and ends in silence, float32."""
    noise = np.random.default_rng(0).standard_normal(int(seconds * 6000))
    noise *= np.hanning(len(noise)) * 0.1
    return resample(noise, 6000, rate)


def read(name, *rate: int) -> np.ndarray:
    return np.concatenate(list(read_audio(str(name), *rate)))


def stdin(monkeypatch, data: bytes) -> None:
    file = io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)))
    monkeypatch.setattr(sys, "stdin", file)


def pcm(samples: np.ndarray) -> bytes:
    return np.rint(samples * 32768).astype("<i2").tobytes()


def test_a_file_is_read_whole_in_blocks(tmp_path):
    samples = sound(1.23)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    blocks = list(read_audio(str(tmp_path / "a.wav")))
    assert len(blocks) == 13 and np.array_equal(np.concatenate(blocks), samples)


def test_of_several_channels_the_mean_is_taken(tmp_path):
    samples = np.stack([sound(), -0.5 * sound()], axis=1)
    soundfile.write(tmp_path / "a.flac", samples, 16000)
    np.testing.assert_allclose(read(tmp_path / "a.flac"), samples.mean(1), atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_another_rate_is_resampled(tmp_path, rate):
    samples = sound(1.1, rate)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    found, expected = read(tmp_path / "a.wav"), resample(samples, rate, 16000)
    assert abs(len(found) - len(expected)) <= 1
    shorter = min(len(found), len(expected))
    assert np.abs(found[:shorter] - expected[:shorter]).max() < 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize("old, new", [(44100, 16000), (8000, 16000)])
def test_resampling_in_pieces_is_resampling_the_whole(old, new):
    samples = sound(0.7, old)
    whole, pieces = Resampler(old, new), Resampler(old, new)
    expected = np.concatenate([whole.accept(samples), whole.finish()])
    found = [pieces.accept(samples[i : i + 333]) for i in range(0, len(samples), 333)]
    found = np.concatenate([*found, pieces.finish()])
    assert len(expected) == -(-len(samples) * new // old)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_above_the_new_rate_goes():
    tone = np.sin(2 * np.pi * 10000 / 44100 * np.arange(44100))
    assert np.abs(Resampler(44100, 16000).accept(tone)[500:]).max() < 1e-2


def test_plain_pcm_comes_from_standard_input(monkeypatch):
    samples = sound(0.35)
    stdin(monkeypatch, pcm(samples))
    np.testing.assert_allclose(read("-"), samples, atol=2e-5)


def test_plain_pcm_of_another_rate_is_resampled(monkeypatch):
    samples = sound(0.5, 8000)
    stdin(monkeypatch, pcm(samples))
    assert abs(len(read("-", 8000)) - 8000) <= 1


def test_a_wav_file_comes_from_standard_input(monkeypatch):
    samples, file = sound(0.5), io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(pcm(np.stack([samples, samples], axis=1)))
    stdin(monkeypatch, file.getvalue())
    np.testing.assert_allclose(read("-"), samples, atol=2e-5)


def test_no_audio_is_told_in_a_line(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    for name in ("a.wav", "b.wav"):
        with pytest.raises(RecipeError, match=f"{name}: no audio that can be read"):
            read(tmp_path / name)


def test_a_missing_microphone_is_told_in_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # as if it were not installed
    with pytest.raises(RecipeError, match="no microphone: the package sounddevice cannot be used"):
        next(read_audio("mic"))
