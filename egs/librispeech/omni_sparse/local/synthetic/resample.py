# SPDX-License-Identifier: Apache-2.0
"""Another sampling rate for a whole utterance."""

from __future__ import annotations

from math import gcd

import numpy as np


def resample(samples: np.ndarray, old_rate: int, new_rate: int) -> np.ndarray:
    """Cut or extend the spectrum of the whole signal at the lower rate's Nyquist frequency.

    The signal is taken as periodic, which is right for speech: it begins and ends in silence.

    Args:
      samples: Of shape ``(num_samples,)`` at ``old_rate`` Hz.

    Returns:
      ``ceil(num_samples * new_rate / old_rate)`` samples, float32.

    Example:
      >>> resample(np.ones(441), 22050, 16000).shape
      (320,)
    """
    common = gcd(old_rate, new_rate)
    up, down = new_rate // common, old_rate // common
    wanted = -(-len(samples) * up // down)
    # Whole periods of both rates, so that no sample is shifted.
    periods = -(-len(samples) // down)
    spectrum = np.fft.rfft(samples, periods * down)
    return (np.fft.irfft(spectrum, periods * up)[:wanted] * (up / down)).astype(np.float32)
