# SPDX-License-Identifier: Apache-2.0
"""Made-up sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def make_wave(seconds: float, rate: int, seed: int) -> np.ndarray:
    """Noise with a slow envelope, in [-0.5, 0.5]; the same for the same seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    envelope = 0.25 * (1.2 + np.sin(2 * np.pi * 4 * time))
    return np.clip(envelope * rng.standard_normal(len(time)) * 0.3, -0.5, 0.5).astype(np.float32)


def save_wave(path: Path, seconds: float, rate: int, channels: int, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = make_wave(seconds, rate, seed)
    soundfile.write(path, wave if channels == 1 else np.stack([wave] * channels, axis=1), rate)
    return path
