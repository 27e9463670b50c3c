# SPDX-License-Identifier: Apache-2.0
"""Where manifests lie, and how they are read and written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet

from emformer.data.bad_items import BadItems
from emformer.data.store import atomic_path
from emformer.errors import RecipeError


def manifest_paths(data_dir: str | Path, prefix: str, split: str) -> SimpleNamespace:
    """Files of one split: ``recordings``, ``supervisions``, ``cuts``, ``features`` (a folder)."""
    data = Path(data_dir)
    return SimpleNamespace(
        recordings=data / "manifests" / f"{prefix}_recordings_{split}.jsonl.gz",
        supervisions=data / "manifests" / f"{prefix}_supervisions_{split}.jsonl.gz",
        cuts=data / "fbank" / f"{prefix}_cuts_{split}.jsonl.gz",
        features=data / "fbank" / f"{prefix}_feats_{split}",
    )


def write_manifest(items: Iterable, path: Path) -> None:
    """Write recordings, supervisions or cuts as JSON lines; the file appears only when complete."""
    items = list(items)
    kind = {Recording: RecordingSet, SupervisionSegment: SupervisionSet}
    make = kind[type(items[0])] if items and type(items[0]) in kind else CutSet
    with atomic_path(path) as temporary:
        if items:
            make.from_items(items).to_file(temporary)
        else:  # lhotse writes no file at all for an empty set
            raise RecipeError(f"nothing to write into {path}: the split is empty")


def read_manifest(path: Path, hint: str = "run the stage that makes it") -> list:
    """Read a manifest into memory.

    Raises:
        RecipeError: absent, cut off, empty or not a manifest.
    """
    if not path.is_file():
        raise RecipeError(f"no such file: {path}; {hint}")
    kind = CutSet
    if "_recordings_" in path.name:
        kind = RecordingSet
    elif "_supervisions_" in path.name:
        kind = SupervisionSet
    try:
        found = kind.from_file(path)
        items = [] if found is None else list(found)  # lhotse's answer to an empty file
    except Exception as e:  # lhotse, gzip and json each raise their own kinds
        raise RecipeError(f"cannot read {path}: {type(e).__name__}: {_one_line(e)}; {hint}") from e
    if not items:
        raise RecipeError(f"{path} is empty; {hint}")
    return items


def scan_recording(path: Path, name: str, bad: BadItems) -> Recording | None:
    """Read the header of an audio file; a file that cannot be read is added to ``bad``."""
    try:
        recording = Recording.from_file(path, recording_id=name)
    except (
        Exception
    ):  # soundfile, lhotse's fallbacks and the wave module each raise their own kinds
        bad.add("unreadable", name, path)
        return None
    if recording.num_samples == 0:
        bad.add("empty", name, path)
        return None
    return recording


def source_of(recording: Recording) -> str:
    """The audio file of a recording, for messages."""
    return str(recording.sources[0].source) if recording.sources else ""


def _one_line(e: Exception) -> str:
    return " ".join(str(e).split())[:200]
