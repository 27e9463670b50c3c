# SPDX-License-Identifier: Apache-2.0
"""The microphone, by a stand-in for the package sounddevice."""

import sys
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from emformer.errors import RecipeError
from omni_emformer.live.audio import read_audio


class PortAudioError(Exception):
    pass


def device(rates=(16000,), default=48000.0, there=True, lost=False):
    """A stand-in for the package, with a device of these rates whose samples are numbered."""

    class InputStream:
        def __init__(self, rate, channels, dtype):
            assert channels == 1 and dtype == "float32"
            self.rate, self.at = rate, 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, size):
            samples = np.arange(self.at, self.at + size, dtype=np.float32)[:, None] / 1e6
            self.at += size
            return samples, lost

    def query_devices(kind):
        assert kind == "input"
        if not there:
            raise PortAudioError("Error querying device -1")
        return {"default_samplerate": default}

    def check_input_settings(channels, dtype, samplerate):
        if samplerate not in rates:
            raise PortAudioError("Invalid sample rate")

    return SimpleNamespace(
        InputStream=InputStream,
        PortAudioError=PortAudioError,
        check_input_settings=check_input_settings,
        query_devices=query_devices,
    )


def blocks(monkeypatch, package, number=5) -> np.ndarray:
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    return np.concatenate(list(islice(read_audio("mic"), number)))


def test_samples_come_in_order(monkeypatch):
    found = blocks(monkeypatch, device())
    assert np.array_equal(found, np.arange(8000, dtype=np.float32) / np.float32(1e6))


def test_another_rate_is_resampled(monkeypatch):
    found = blocks(monkeypatch, device(rates=(48000,)), 10)
    middle = slice(1000, -100)
    expected = 3 * np.arange(len(found)) / 1e6
    np.testing.assert_allclose(found[middle], expected[middle], atol=1e-4)


def test_lost_sound_is_told(monkeypatch, caplog):
    blocks(monkeypatch, device(lost=True), 1)
    assert "sound was lost" in caplog.text


def test_the_package_that_is_missing_is_named(monkeypatch):
    with pytest.raises(RecipeError, match="sounddevice is not installed; pip install sounddevice"):
        blocks(monkeypatch, None)


def test_a_computer_without_a_microphone_is_told(monkeypatch):
    with pytest.raises(RecipeError, match="no microphone: Error querying device -1; connect one"):
        blocks(monkeypatch, device(there=False))
