# SPDX-License-Identifier: Apache-2.0
"""Loads the audio of a cut, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from lhotse import MonoCut
from lhotse.audio import DurationMismatchError

from emformer.features import SAMPLE_RATE
from local.bad_items import BadItems
from local.manifests import source_of


def load_checked(cut: MonoCut, bad: BadItems) -> np.ndarray | None:
    """Samples of a cut, of shape (num_samples,), or None with the reason in ``bad``.

    The manifest is not trusted: files are replaced, cut off and converted after it was made.
    """
    path = source_of(cut.recording)
    reason = file_problem(cut)
    samples = None
    if not reason:
        try:
            samples = cut.load_audio()
        except DurationMismatchError:
            reason = "length other than in the manifest"
        except Exception:  # each audio backend raises its own kinds
            reason = "unreadable"
        else:
            if samples.shape[0] != 1:
                reason = "stereo"
            elif samples.shape[1] == 0:
                reason = "empty"
            elif not np.isfinite(samples).all():
                reason = "samples not finite"
    if reason:
        bad.add(reason, cut.id, path)
        return None
    return samples[0]


def file_problem(cut: MonoCut) -> str:
    """What the audio file's own header says against it; empty if nothing, or if it has none."""
    source = cut.recording.sources[0]
    if source.type != "file":
        return ""
    if not Path(source.source).is_file():
        return "audio file missing"
    try:
        header = soundfile.info(source.source)
    except (OSError, RuntimeError):
        return ""  # perhaps a format that only lhotse's other backends read; loading will tell
    if header.frames == 0:
        return "empty"
    if header.channels != 1:
        return "stereo" if header.channels == 2 else f"{header.channels} channels"
    if header.samplerate != SAMPLE_RATE:
        return f"sample rate {header.samplerate} (want {SAMPLE_RATE})"
    return ""
