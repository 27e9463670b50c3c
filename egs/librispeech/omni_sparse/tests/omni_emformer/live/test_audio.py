# SPDX-License-Identifier: Apache-2.0
"""Audio of all kinds as 16 kHz blocks."""

import io
import struct
import sys
import tracemalloc

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


def test_plain_pcm_that_begins_as_mp3_may_is_pcm(monkeypatch):
    samples = np.concatenate([[-1025 / 32768, -5 / 32768], sound(0.3)])  # bytes FF FB FB FF
    stdin(monkeypatch, pcm(samples))
    np.testing.assert_allclose(read("-"), samples, atol=2e-5)


def wav(
    samples: np.ndarray, riff: int | None = None, data: int | None = None, fmt=b"", more=b""
) -> bytes:
    """A 16-bit wav file whose header has these sizes, format and chunks before the samples."""
    body = pcm(samples)
    fmt = fmt or struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    riff = 20 + len(fmt) + len(more) + len(body) if riff is None else riff
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + more
    size = struct.pack("<I", len(body) if data is None else data)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVE" + chunks + b"data" + size + body


def by_soundfile(samples: np.ndarray, kind: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format=kind, subtype=subtype)
    return file.getvalue()


def without_size(data: bytes) -> bytes:
    """A wav file whose writer did not go back to its header."""
    at = data.index(b"data") + 4
    return data[:4] + bytes(4) + data[8:at] + bytes(4) + data[at + 4 :]


_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
_LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf60.16.100\0"
KINDS = {
    "NIST": lambda x: by_soundfile(x, "NIST", "PCM_16"),
    "W64": lambda x: by_soundfile(x, "W64", "PCM_16"),
    "mu-law of size 0": lambda x: without_size(by_soundfile(x, "WAV", "ULAW")),
    "plain": lambda x: wav(x),
    "as ffmpeg pipes it": lambda x: wav(x, 0xFFFFFFFF, 0xFFFFFFFF, more=_LIST),
    "as sox pipes it": lambda x: wav(x, 0x7FFFF024, 0x7FFFF000),
    "as arecord pipes it": lambda x: wav(x, 0x80000024, 0x80000000),
    "of size 0": lambda x: wav(x, 0, 0),
    "of data size 0": lambda x: wav(x, 0xFFFFFFFF, 0),
    "fmt of 18 bytes": lambda x: wav(x, fmt=struct.pack("<HHIIHHH", 1, 1, 16000, 32000, 2, 16, 0)),
    "extensible": lambda x: wav(
        x, fmt=struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4) + _GUID
    ),
    "float32": lambda x: by_soundfile(x, "WAV", "FLOAT"),
    "float64": lambda x: by_soundfile(x, "WAV", "DOUBLE"),
    "24 bits": lambda x: by_soundfile(x, "WAV", "PCM_24"),
    "32 bits": lambda x: by_soundfile(x, "WAV", "PCM_32"),
    "8 bits": lambda x: by_soundfile(x, "WAV", "PCM_U8"),
    "mu-law": lambda x: by_soundfile(x, "WAV", "ULAW"),
    "RF64": lambda x: by_soundfile(x, "RF64", "PCM_16"),
    "FLAC": lambda x: by_soundfile(x, "FLAC", "PCM_16"),
    "AIFF": lambda x: by_soundfile(x, "AIFF", "PCM_16"),
    "two channels": lambda x: by_soundfile(np.stack([x, x], axis=1), "WAV", "PCM_16"),
}
#: Of what keeps fewer than 16 bits.
COARSE = {"8 bits": 1 / 128, "mu-law": 0.02, "mu-law of size 0": 0.02}


@pytest.mark.parametrize("way", ["file", "standard input"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_is_the_same_from_a_file_and_from_standard_input(tmp_path, monkeypatch, kind, way):
    samples = sound(0.5)
    data = KINDS[kind](samples)
    (tmp_path / "sound").write_bytes(data)
    stdin(monkeypatch, data)
    found = read(tmp_path / "sound" if way == "file" else "-")
    assert found.dtype == np.float32 and len(found) == len(samples)
    np.testing.assert_allclose(found, samples, atol=COARSE.get(kind, 4e-5))


@pytest.mark.parametrize("kind, subtype", [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_a_lossy_file_on_standard_input_is_the_sound(monkeypatch, kind, subtype):
    if kind not in soundfile.available_formats():
        pytest.skip(f"this libsndfile writes no {kind}")
    samples = sound(1.0)
    stdin(monkeypatch, by_soundfile(samples, kind, subtype))
    found = read("-")
    assert abs(len(found) - len(samples)) < 4000
    assert np.abs(found).max() < 2 * np.abs(samples).max()


def test_a_file_that_was_cut_off_is_read_to_its_end(tmp_path):
    samples = sound(0.5)
    (tmp_path / "a.wav").write_bytes(wav(samples)[:-1001])
    assert len(read(tmp_path / "a.wav")) == len(samples) - 501


def test_of_a_long_file_few_samples_are_in_memory(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros(16000 * 120), 16000)
    next(read_audio(str(tmp_path / "a.flac")))  # imports are no part of it
    tracemalloc.start()
    try:
        total = sum(len(block) for block in read_audio(str(tmp_path / "a.flac")))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 16000 * 120 and most < total  # bytes; a sample has 4


def test_a_pipe_that_comes_in_drops_is_read_the_same(monkeypatch):
    class Drops(io.RawIOBase):
        """A byte at a time, as a slow writer's pipe may give."""

        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, out) -> int:
            data = self._data.read(1)
            out[: len(data)] = data
            return len(data)

    samples = sound(0.05)
    for kind in ("plain", "FLAC"):
        file = io.BufferedReader(Drops(KINDS[kind](samples)))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        np.testing.assert_allclose(read("-"), samples, atol=4e-5)


@pytest.mark.parametrize("seed", range(20))
def test_quiet_noise_is_never_taken_for_mp3(monkeypatch, seed):
    rng = np.random.default_rng(seed)
    numbers = np.concatenate([[-1 - seed], rng.integers(-40, 41, 4000)])
    stdin(monkeypatch, numbers.astype("<i2").tobytes())
    np.testing.assert_allclose(read("-"), numbers / 32768, atol=1e-7)


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_nothing_is_no_sound(tmp_path, monkeypatch, way):
    (tmp_path / "sound").touch()
    stdin(monkeypatch, b"")
    assert list(read_audio(str(tmp_path / "sound") if way == "file" else "-")) == []


def test_a_wav_file_of_no_samples_is_empty_whatever_follows(tmp_path):
    whole = wav(np.zeros(0), 36 + len(_LIST)) + _LIST
    (tmp_path / "a.wav").write_bytes(whole)
    assert list(read_audio(str(tmp_path / "a.wav"))) == []


def test_what_follows_the_samples_is_no_sound(tmp_path):
    samples = sound(0.5)
    (tmp_path / "a.wav").write_bytes(wav(samples) + _LIST)
    assert len(read(tmp_path / "a.wav")) == len(samples)


REFUSED = {
    "a header that ends": (b"RIFF\0\0\0\0WAVEfmt ", "a wav file that ends within its header"),
    "no format": (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "a wav file without a format"),
    "no rate": (
        wav(np.zeros(4), fmt=struct.pack("<HHIIHH", 1, 1, 0, 0, 2, 16)),
        "a wav file of 1 channels at 0 samples a second",
    ),
    "WebM": (b"\x1aE\xdf\xa3" + bytes(20), "WebM or Matroska, which is not read; convert it"),
    "MP4": (bytes(4) + b"ftypM4A " + bytes(20), "MP4, which is not read; convert it"),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", "RIFF, but no wav, which is not read; convert it"),
    "half a wav": (b"RIFF\0\0\0\0WA", "RIFF, but no wav, which is not read"),
    "a web page": (b"<!DOCTYPE html><html>", "text, which is not read"),
    "a zip": (b"PK\3\4" + bytes(20), "a zip archive, which is not read"),
    "AAC": ((b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)) * 40, "AAC, which is not read"),
    "no sensible rate": (
        wav(np.zeros(4), fmt=struct.pack("<HHIIHH", 1, 1, 4, 8, 2, 16)),
        "4 samples a second; 1,000 to 768,000 are read",
    ),
    "no numbers": (by_soundfile(np.full(9, np.nan), "WAV", "FLOAT"), "samples that are not finite"),
    "a damaged FLAC": (b"fLaC" + bytes(20), "no audio that can be read"),
}


@pytest.mark.parametrize("data, said", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("way", ["file", "standard input"])
def test_what_cannot_be_read_is_named(tmp_path, monkeypatch, way, data, said):
    (tmp_path / "sound").write_bytes(data)
    stdin(monkeypatch, data)
    with pytest.raises(RecipeError, match=f"{'sound' if way == 'file' else way}: {said}"):
        read(tmp_path / "sound" if way == "file" else "-")


def test_no_audio_is_told_in_a_line(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    for name in ("a.wav", "b.wav"):
        with pytest.raises(RecipeError, match=f"{name}: no audio that can be read"):
            read(tmp_path / name)
