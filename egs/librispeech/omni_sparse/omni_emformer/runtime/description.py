# SPDX-License-Identifier: Apache-2.0
"""What a packed file says of its transducer, so that a program without this recipe can run it.

``omni_runtime/description.c`` reads it; ``omni_runtime/README.md`` describes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from emformer.config import FRAME_SHIFT_MS
from emformer.data.features import HIGH_FREQ, LOW_FREQ, MIN_SAMPLES, SAMPLE_RATE
from emformer.frontend import LOG_MEL_MEAN, LOG_MEL_STD
from emformer.model import BLANK_ID, Transducer
from emformer.text import RESERVED
from omni_plugin import OmniError

#: Files of version 1 have no description; this recipe reads them, the C library does not.
VERSION = 2


def describe(model: Transducer, tokens: Sequence[str]) -> dict[str, Any]:
    """The description, in types of JSON.

    Args:
      model: The transducer.
      tokens: Its symbols, by id.
    """
    return {
        "version": VERSION,
        "features": _features(),
        "layer_norm_eps": model.encoder.frontend.norm.eps,
        "blank": BLANK_ID,
        "silent_tokens": [number for number, token in enumerate(tokens) if token in RESERVED],
    }


def check_description(description: dict[str, Any] | None) -> None:
    """See that this recipe computes what the file's transducer takes.

    Raises:
      OmniError: It is of another version, or takes other features.
    """
    if description is None:  # version 1
        return
    version = description.get("version")
    if version != VERSION:
        raise OmniError(
            f"its transducer is of version {version}; this program reads version {VERSION}"
        )
    if description.get("features") != _features():
        raise OmniError("its transducer takes other features than this recipe's")


def _features() -> dict[str, Any]:
    return {
        "sample_rate": SAMPLE_RATE,
        "frame_length": MIN_SAMPLES,
        "frame_shift": SAMPLE_RATE * FRAME_SHIFT_MS // 1000,
        "fft_size": 512,
        "window": "povey",
        "preemphasis": 0.97,
        "low_freq": LOW_FREQ,
        "high_freq": HIGH_FREQ,
        "floor": torch.finfo(torch.float32).eps,
        "mean": LOG_MEL_MEAN,
        "std": LOG_MEL_STD,
    }
