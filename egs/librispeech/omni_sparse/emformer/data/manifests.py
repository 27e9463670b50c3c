# SPDX-License-Identifier: Apache-2.0
"""Where manifests lie, and how they are read and written."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet

from emformer.data.bad_items import BadItems
from emformer.data.places import Places, relative, with_relative_paths
from emformer.data.store import atomic_path
from emformer.errors import RecipeError


def manifest_paths(data_dir: str | Path, prefix: str, split: str) -> SimpleNamespace:
    """Files of one split: ``recordings``, ``supervisions``, ``cuts``, ``features`` (a folder), and
    ``marker``, which says what the latter two were made of.
    """
    data = Path(data_dir)
    return SimpleNamespace(
        recordings=data / "manifests" / f"{prefix}_recordings_{split}.jsonl.gz",
        supervisions=data / "manifests" / f"{prefix}_supervisions_{split}.jsonl.gz",
        cuts=data / "fbank" / f"{prefix}_cuts_{split}.jsonl.gz",
        features=data / "fbank" / f"{prefix}_feats_{split}",
        marker=data / "fbank" / f".{prefix}_{split}.done",
    )


def write_manifest(items: Iterable, path: Path) -> None:
    """Write recordings, supervisions or cuts as JSON lines; the file appears only when complete.

    Paths within the data folder become relative to the manifest, see :mod:`emformer.data.places`.
    """
    items = [with_relative_paths(item, path.parent) for item in items]
    kind = {Recording: RecordingSet, SupervisionSegment: SupervisionSet}
    make = kind[type(items[0])] if items and type(items[0]) in kind else CutSet
    with atomic_path(path) as temporary:
        if items:
            make.from_items(items).to_file(temporary)
        else:  # lhotse writes no file at all for an empty set
            raise RecipeError(f"nothing to write into {path}: the split is empty")


def read_manifest(path: Path, hint: str = "run the stage that makes it") -> list:
    """Read a manifest into memory, with paths that hold from where we are.

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
        found = kind.from_file(path)  # None: lhotse's answer to an empty file
        items = [] if found is None else list(map(Places(path).find, found))
    except Exception as e:  # lhotse, gzip and json each raise their own kinds
        raise RecipeError(f"cannot read {path}: {type(e).__name__}: {_one_line(e)}; {hint}") from e
    if not items:
        raise RecipeError(f"{path} is empty; {hint}")
    return items


def write_if_other(items: list, path: Path) -> None:
    """As :func:`write_manifest`, but where these very items are there nothing is written."""
    try:
        if read_manifest(path) == items:
            return
    except RecipeError:
        pass  # it is not there, or damaged
    write_manifest(items, path)


def content_digest(paths: Iterable[Path]) -> str:
    """SHA-256 over what manifests say, in order, wherever their data folder is.

    That of the files themselves would change whenever they are written, since gzip notes the time.

    Raises:
        RecipeError: one is cut off or not a manifest.
    """
    total = hashlib.sha256()
    for path in paths:
        places = Places(path)
        try:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for said in map(json.loads, lines):
                    for one in said.get("sources", ()):
                        if one["type"] == "file":
                            one["source"] = relative(places.audio(one["source"]), path.parent)
                    total.update(json.dumps(said, sort_keys=True).encode())
        except Exception as e:  # gzip and json each raise their own kinds
            raise RecipeError(f"cannot read {path}: {type(e).__name__}: {_one_line(e)}") from e
        total.update(b"\0")
    return total.hexdigest()


def audio_is_found(path: Path) -> bool:
    """Whether the first file that a manifest of recordings names is where it says."""
    try:
        first = Places(path).find(next(iter(RecordingSet.from_jsonl_lazy(path))))
    except Exception:  # damaged, which lhotse, gzip and json each say by their own kinds
        return False
    return all(one.type != "file" or Path(one.source).is_file() for one in first.sources)


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
