# SPDX-License-Identifier: Apache-2.0
"""The one definition of the input features: 80 log-mel energies at 100 frames a second.

Kaldi's options without dither: 25 ms Povey windows every 10 ms, frames centred (``snip_edges`` off,
so that T samples give round(T / 160) frames), mel filters from 20 Hz to 7600 Hz (``high_freq``
-400), no energy, samples in [-1, 1]. Stored features, features made on the fly and features of the
transcriber all come from here; kaldifeat is used where it is installed, lhotse's own otherwise, and
tests hold the two within 1e-3 of each other.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from lhotse import Fbank, FbankConfig
from lhotse.features import FeatureExtractor

from emformer.errors import RecipeError

SAMPLE_RATE = 16000
NUM_MEL_BINS = 80
FRAME_SHIFT = 0.01  # seconds
#: A window of 25 ms: of less, kaldifeat makes no frame or fails, as lhotse does.
MIN_SAMPLES = 400
LOW_FREQ = 20.0
HIGH_FREQ = -400.0  # Hz, counted from the Nyquist frequency
BACKENDS = ("kaldifeat", "lhotse")


@lru_cache(maxsize=1)
def has_kaldifeat() -> bool:
    """Whether kaldifeat can be imported: a build for another torch is as good as none."""
    try:
        import kaldifeat  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def make_extractor(device: str = "cpu", backend: str | None = None) -> FeatureExtractor:
    """Make the feature extractor.

    Args:
        device: "cpu" or a CUDA device; both backends compute there.
        backend: "kaldifeat", "lhotse", or None for the first of them that is installed.
    Raises:
        RecipeError: unknown backend, kaldifeat asked for and not installed, or no such device.
    """
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise RecipeError(f"no CUDA device is available for features on '{device}'; use cpu")
    if backend is None:
        backend = "kaldifeat" if has_kaldifeat() else "lhotse"
    if backend == "lhotse":
        return Fbank(
            FbankConfig(
                sampling_rate=SAMPLE_RATE,
                num_filters=NUM_MEL_BINS,
                dither=0.0,
                snip_edges=False,
                low_freq=LOW_FREQ,
                high_freq=HIGH_FREQ,
                device=device,
            )
        )
    if backend != "kaldifeat":
        raise RecipeError(f"unknown feature backend '{backend}'; known are {', '.join(BACKENDS)}")
    if not has_kaldifeat():
        raise RecipeError(
            "the feature backend kaldifeat is not installed; use lhotse or install it"
        )
    from lhotse import KaldifeatFbank, KaldifeatFbankConfig
    from lhotse.features.kaldifeat import KaldifeatFrameOptions, KaldifeatMelOptions

    return KaldifeatFbank(
        KaldifeatFbankConfig(
            frame_opts=KaldifeatFrameOptions(
                sampling_rate=SAMPLE_RATE, dither=0.0, snip_edges=False
            ),
            mel_opts=KaldifeatMelOptions(
                num_bins=NUM_MEL_BINS, low_freq=LOW_FREQ, high_freq=HIGH_FREQ
            ),
            device=device,
        )
    )
