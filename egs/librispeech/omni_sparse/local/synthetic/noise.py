# SPDX-License-Identifier: Apache-2.0
"""Mild background noise for synthetic speech, and the pauses before and after it."""

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


def draw_pause(rng: np.random.Generator) -> float:
    """Seconds without speech at one end of a recording: often next to none, now and then long.

    Who records presses a key a little early and lets it go a little late; a live sound has pauses
    longer than all that a streaming encoder sees at once.
    """
    return rng.uniform(0.0, 0.3) if rng.random() < 0.8 else rng.uniform(0.3, 1.5)


def add_noise(
    speech: np.ndarray,
    snr_db: float,
    rng: np.random.Generator,
    before: int = 0,
    after: int = 0,
) -> np.ndarray:
    """``speech`` with coloured noise of a random slope at a signal-to-noise ratio of ``snr_db``.

    The ratio is over the speech. The peak is brought to a random level between -12 dB and -1 dB of
    full scale, so that loudness varies as it does between microphones.

    Args:
      speech: Samples, of shape ``(num_samples,)``.
      snr_db: Ratio in dB.
      rng: What noise and level are drawn from.
      before: Samples of noise alone in front of the speech. In a quarter of the recordings with
        pauses they are zeros, as where a gate was closed or a file was padded.
      after: The same behind the speech.

    Returns:
      Float32, of shape ``(before + num_samples + after,)``.
    """
    noise = coloured_noise(before + len(speech) + after, rng.uniform(0.0, 2.0), rng)
    level = np.sqrt(np.mean(speech**2) + 1e-12) * 10 ** (-snr_db / 20)
    mixed, end = level * noise, before + len(speech)
    # Without pauses, the draws are those of the corpora that have none.
    if (before or after) and rng.random() < 0.25:
        mixed[:before] = mixed[end:] = 0.0
    mixed[before:end] += speech
    peak = 10 ** (rng.uniform(-12.0, -1.0) / 20)
    return (mixed * (peak / (np.abs(mixed).max() + 1e-9))).astype(np.float32)
