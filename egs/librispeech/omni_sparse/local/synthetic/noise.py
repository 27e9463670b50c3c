# SPDX-License-Identifier: Apache-2.0
"""Mild background noise for synthetic speech."""

from __future__ import annotations

import numpy as np


def coloured_noise(num_samples: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with frequency as ``f ** -slope`` (0 white, 1 pink, 2 brown).

    Returns:
      Samples of unit power, float32, of shape ``(num_samples,)``.
    """
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    frequency = np.maximum(np.arange(len(spectrum)), 1.0)
    noise = np.fft.irfft(spectrum * frequency ** (-slope / 2), num_samples)
    return (noise / np.sqrt(np.mean(noise**2) + 1e-12)).astype(np.float32)


def add_noise(speech: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """``speech`` with coloured noise of a random slope at a signal-to-noise ratio of ``snr_db``.

    The ratio is over the whole utterance. The peak is brought to a random level between -12 dB
    and -1 dB of full scale, so that loudness varies as it does between microphones.
    """
    noise = coloured_noise(len(speech), rng.uniform(0.0, 2.0), rng)
    level = np.sqrt(np.mean(speech**2) + 1e-12) * 10 ** (-snr_db / 20)
    mixed = speech + level * noise
    peak = 10 ** (rng.uniform(-12.0, -1.0) / 20)
    return (mixed * (peak / (np.abs(mixed).max() + 1e-9))).astype(np.float32)
