# SPDX-License-Identifier: Apache-2.0
"""Joins recordings and supervisions into cuts, one a supervision, and counts what does not fit."""

from __future__ import annotations

from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.utils import fastcopy

from emformer.data.bad_items import BadItems
from emformer.data.features import MIN_SAMPLES
from emformer.data.manifests import source_of

# Seconds by which a supervision may reach beyond its recording: other people's manifests round.
END_TOLERANCE = 0.01


def build_cuts(
    recordings: list[Recording],
    supervisions: list[SupervisionSegment],
    sample_rate: int,
    bad: BadItems,
) -> list[MonoCut]:
    """Make a cut of every supervision whose audio is there, mono and of the right sample rate.

    The cut bears the supervision's id (so that the decoder's output names the utterance) and keeps
    the order of the supervisions. The audio itself is not opened here.
    """
    by_id = {recording.id: recording for recording in recordings}
    seen: set[str] = set()
    spoken: set[str] = set()
    cuts = []
    for supervision in supervisions:
        recording = by_id.get(supervision.recording_id)
        spoken.add(supervision.recording_id)
        reason = _problem(supervision, recording, seen, sample_rate)
        seen.add(supervision.id)
        if reason:
            bad.add(reason, supervision.id, source_of(recording) if recording else "")
            continue
        assert recording is not None
        duration = min(supervision.duration, recording.duration - supervision.start)
        cuts.append(
            MonoCut(
                id=supervision.id,
                start=supervision.start,
                duration=duration,
                channel=recording.channel_ids[0],
                recording=recording,
                supervisions=[fastcopy(supervision, start=0.0, duration=duration)],
            )
        )
    for recording in recordings:
        if recording.id not in spoken:
            bad.add("audio without text", recording.id, source_of(recording))
    return cuts


def _problem(
    supervision: SupervisionSegment, recording: Recording | None, seen: set[str], sample_rate: int
) -> str:
    """Why a supervision cannot be used, or an empty string."""
    if recording is None:
        return "text without audio"
    if supervision.id in seen:
        return "duplicate id"
    if not (supervision.text or "").strip():
        return "audio without text"
    return audio_problem(recording, sample_rate) or _span_problem(supervision, recording)


def audio_problem(recording: Recording, sample_rate: int) -> str:
    """What a recording's manifest says against it, or an empty string."""
    if recording.num_samples == 0:
        return "empty"
    if recording.num_channels != 1:
        return "stereo" if recording.num_channels == 2 else f"{recording.num_channels} channels"
    if recording.sampling_rate != sample_rate:
        return f"sample rate {recording.sampling_rate} (want {sample_rate})"
    return ""


def _span_problem(supervision: SupervisionSegment, recording: Recording) -> str:
    if supervision.start < 0 or supervision.duration <= 0:
        return "text of no duration"
    if supervision.end > recording.duration + END_TOLERANCE:
        return "text beyond the audio"
    left = min(supervision.duration, recording.duration - supervision.start)
    if round(left * recording.sampling_rate) < MIN_SAMPLES:
        return "too short"
    return ""
