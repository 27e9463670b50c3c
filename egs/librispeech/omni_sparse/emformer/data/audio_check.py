# SPDX-License-Identifier: Apache-2.0
"""Loads the audio of a cut, or says what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from lhotse import MonoCut

from emformer.data.bad_items import BadItems
from emformer.data.features import MIN_SAMPLES, SAMPLE_RATE
from emformer.data.manifests import source_of

LENGTH_TOLERANCE = 0.01  # seconds between a manifest and its file
_TOLERANCE_VARIABLE = "LHOTSE_AUDIO_DURATION_MISMATCH_TOLERANCE"


def load_checked(cut: MonoCut, bad: BadItems) -> np.ndarray | None:
    """Samples of a cut, of shape (num_samples,), or None with the reason in ``bad``.

    The manifest is not trusted: files are replaced, cut off and converted after it was made.
    """
    reason = file_problem(cut)
    samples = None
    if not reason:
        try:
            with strict_length():
                samples = cut.load_audio()
        except Exception:  # each audio backend raises its own kinds
            reason = "unreadable"
        else:
            if samples.shape[1] == 0:
                reason = "empty"
            elif samples.shape[1] < MIN_SAMPLES:
                reason = "too short"
            elif not np.isfinite(samples).all():
                reason = "samples not finite"
    if reason:
        bad.add(reason, cut.id, source_of(cut.recording))
        return None
    return samples[0]


@contextmanager
def strict_length() -> Iterator[None]:
    """Make lhotse refuse audio that is shorter than stated.

    By default it mirrors up to half a second of the end into the missing part: a file that was cut
    off would be trained on without a word.
    """
    before = os.environ.get(_TOLERANCE_VARIABLE)
    os.environ[_TOLERANCE_VARIABLE] = str(LENGTH_TOLERANCE)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TOLERANCE_VARIABLE]
        else:
            os.environ[_TOLERANCE_VARIABLE] = before


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
    # Transforms (speed) change the recording's stated length, not the file's.
    difference = abs(header.frames - cut.recording.num_samples) / SAMPLE_RATE
    if not cut.recording.transforms and difference > LENGTH_TOLERANCE:
        return "length other than in the manifest"
    return ""
