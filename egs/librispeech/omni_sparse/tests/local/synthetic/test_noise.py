# SPDX-License-Identifier: Apache-2.0
"""Noise and sampling rate of synthetic speech."""

import numpy as np
import pytest

from local.synthetic.noise import add_noise, coloured_noise, draw_pause
from local.synthetic.resample import resample


def power(samples) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize("snr_db", [0.0, 5.0, 20.0, 40.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_ratio_of_speech_to_noise_is_what_was_asked_for(snr_db, seed):
    rng = np.random.default_rng(0)
    speech = (0.1 * rng.standard_normal(48000)).astype(np.float32)
    mixed = add_noise(speech, snr_db, np.random.default_rng(seed)).astype(np.float64)
    # The same noise as in add_noise; the mixture's gain is then known by least squares.
    again = np.random.default_rng(seed)
    noise = coloured_noise(len(speech), again.uniform(0.0, 2.0), again)
    gains, residual, *_ = np.linalg.lstsq(np.stack([speech, noise], 1), mixed, rcond=None)
    assert residual[0] / len(mixed) < 1e-9 * power(mixed)
    measured = 10 * np.log10(power(gains[0] * speech) / power(gains[1] * noise))
    assert measured == pytest.approx(snr_db, abs=0.05)


def test_the_peak_is_between_minus_12_and_minus_1_db():
    speech = np.sin(np.arange(16000) / 10).astype(np.float32)
    for seed in range(20):
        peak = np.abs(add_noise(speech, 20.0, np.random.default_rng(seed))).max()
        assert 10 ** (-12 / 20) - 1e-3 <= peak <= 10 ** (-1 / 20) + 1e-3


def test_speech_begins_and_ends_where_it_should():
    speech = np.ones(8000, np.float32)
    for seed in range(20):
        mixed = add_noise(speech, 40.0, np.random.default_rng(seed), before=3000, after=500)
        loud = np.flatnonzero(mixed > 0.5 * mixed.max())
        assert (loud[0], loud[-1], len(mixed)) == (3000, 10999, 11500)


def test_noise_goes_on_in_three_quarters_of_the_pauses():
    speech = np.ones(800, np.float32)
    gated = [
        not add_noise(speech, 20.0, np.random.default_rng(seed), 100, 100)[[*range(100), -1]].any()
        for seed in range(400)
    ]
    assert 0.2 < np.mean(gated) < 0.3


def test_pauses_are_short_but_some_are_longer_than_the_encoder_sees():
    rng = np.random.default_rng(0)
    pauses = np.array([draw_pause(rng) for _ in range(4000)])
    assert 0 <= pauses.min() < 0.01 and 1.4 < pauses.max() <= 1.5
    assert np.mean(pauses < 0.3) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("slope, fall", [(0.0, 0.0), (1.0, 3.0), (2.0, 6.0)])
def test_the_noises_power_falls_as_asked_for(slope, fall):
    noise = coloured_noise(1 << 16, slope, np.random.default_rng(0))
    assert power(noise) == pytest.approx(1.0, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [10 * np.log10(spectrum[n : 2 * n].mean()) for n in (1 << 11, 1 << 12, 1 << 13)]
    assert np.diff(octaves) == pytest.approx([-fall, -fall], abs=0.5)


@pytest.mark.parametrize("old, new", [(22050, 16000), (16000, 22050), (8000, 16000)])
def test_a_tone_is_the_same_tone_at_another_rate(old, new):
    def tone(rate, count):
        return np.sin(2 * np.pi * 1000 * np.arange(count) / rate)

    found = resample(tone(old, old), old, new)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tone(new, new), atol=1e-5)


def test_resampling_keeps_the_duration():
    for length in (1, 440, 441, 442, 12345):
        assert len(resample(np.zeros(length), 22050, 16000)) == -(-length * 320 // 441)
