#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manifests of Kaldi data directories.

Usage (s5/data has a data directory for each split of the corpus's YAML file):
    python3 -m local.prepare_kaldi --corpus kaldi --kaldi-dir s5/data --data-dir data/kaldi

Read of each are wav.scp, text, and if there are any utt2spk and segments. wav.scp names sound
files; relative names are looked for from the folder above --kaldi-dir (where Kaldi runs), from
--kaldi-dir, and from the data directory. Commands (`sph2pipe ... |`) are refused, since reading a
corpus should run nothing of it, and so are positions in archives (`x.ark:1234`). Texts are taken as
they are.

Not by lhotse's load_kaldi_data_dir, which ends at the first file that cannot be read, takes its
sample rate on trust, and rounds lengths down to milliseconds.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lhotse import Recording, SupervisionSegment
from lhotse.kaldi import load_kaldi_text_file, load_kaldi_text_mapping
from lhotse.utils import add_durations

from emformer.data.bad_items import BadItems
from emformer.data.corpus import load_corpus
from emformer.data.manifests import (
    audio_is_found,
    manifest_paths,
    scan_recording,
    write_manifest,
)
from emformer.data.store import digest, facts_in, is_done, mark_done
from emformer.errors import RecipeError, run_main
from emformer.options import (
    Parser,
    add_bad_option,
    add_data_options,
    default_jobs,
    positive_int,
    start_logging,
)

LISTS = ("wav.scp", "text", "utt2spk", "segments")
NEEDED = LISTS[:2]
#: Of a recording, where an utterance ends with it.
TO_THE_END = -1.0


@dataclass(frozen=True)
class Segment:
    """An utterance's place, in seconds."""

    recording: str
    start: float = 0.0
    end: float = TO_THE_END


@dataclass(frozen=True)
class KaldiDir:
    """What a data directory says.

    Args:
        audio: Files by recording.
        texts: By utterance.
        speakers: By utterance; empty where they are not told.
        segments: By utterance.
    """

    audio: dict[str, Path]
    texts: dict[str, str]
    speakers: dict[str, str]
    segments: dict[str, Segment]


def list_files(kaldi_dir: Path, split: str) -> list[Path]:
    """The lists that a data directory has.

    Raises:
        RecipeError: it has no wav.scp or no text.
    """
    for name in NEEDED:
        if not (kaldi_dir / split / name).is_file():
            raise RecipeError(
                f"no such file: {kaldi_dir / split / name}; --kaldi-dir takes the folder of the "
                "data directories that the corpus's YAML file names"
            )
    paths = (kaldi_dir / split / name for name in LISTS)
    return [path for path in paths if path.is_file()]


def read_kaldi_dir(kaldi_dir: Path, split: str) -> KaldiDir:
    """Read a data directory's lists; no sound is opened.

    Raises:
        RecipeError: a list is damaged, or wav.scp has something else than paths.
    """
    folder = kaldi_dir / split
    names = _mapping(folder / "wav.scp")
    _refuse_all_but_paths(folder / "wav.scp", names)
    segments = folder / "segments"
    return KaldiDir(
        audio=_found(names, (kaldi_dir.parent, kaldi_dir, folder)),
        texts=_mapping(folder / "text", load_kaldi_text_file),
        speakers=_mapping(folder / "utt2spk"),
        segments=dict(_segments(segments))
        if segments.is_file()
        else {name: Segment(name) for name in names},
    )


def _mapping(path: Path, load=load_kaldi_text_mapping) -> dict[str, str]:
    try:
        return dict(load(path))
    except ValueError as e:  # of dict() where a line is one word, or no UTF-8
        raise RecipeError(f"{path}: expected lines of the form 'name value' ({e})") from e


def _refuse_all_but_paths(path: Path, names: dict[str, str]) -> None:
    for name, value in names.items():
        if value.endswith("|") or value.startswith("|"):
            what = "a command, and none is run here"
        elif re.search(r"\.ark:\d+$", value):
            what = "a position in an archive"
        else:
            continue
        raise RecipeError(
            f"{path}: {name} is {what}; write the sound to files (Kaldi's wav-copy does) and put "
            "their paths here"
        )


def _found(names: dict[str, str], bases: tuple[Path, ...]) -> dict[str, Path]:
    """Paths, the relative ones from the first of ``bases`` where the first of them is."""
    first = next((value for value in names.values() if not os.path.isabs(value)), "")
    base = next((base for base in bases if (base / first).is_file()), bases[0])
    return {name: base / value for name, value in names.items()}


def _segments(path: Path) -> Iterator[tuple[str, Segment]]:
    """Lines ``utterance recording start end``, in seconds; an end of -1 is the recording's."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            utterance, recording, start, end = line.split()
            yield utterance, Segment(recording, float(start), float(end))
        except ValueError:
            raise RecipeError(
                f"{path}:{number}: expected 'utterance recording start end', got {line[:80]!r}"
            ) from None


def scan(audio: dict[str, Path], nj: int, bad: BadItems) -> dict[str, Recording]:
    """Read the headers of sound files in ``nj`` threads; ``bad`` gets those that cannot be read."""

    def one(name: str) -> tuple[Recording | None, BadItems]:
        why = BadItems("")
        if audio[name].is_file():
            return scan_recording(audio[name], name, why), why
        why.add("audio file missing", name, audio[name])
        return None, why

    with ThreadPoolExecutor(nj) as pool:
        scanned = list(pool.map(one, audio))
    for _, why in scanned:
        bad.items += why.items
    return {recording.id: recording for recording, _ in scanned if recording is not None}


def make_supervisions(
    said: KaldiDir, recordings: dict[str, Recording], bad: BadItems
) -> list[SupervisionSegment]:
    """The utterances that have sound and text; ``bad`` gets the others."""
    found = []
    for name, segment in said.segments.items():
        recording = recordings.get(segment.recording)
        if recording is None:
            if segment.recording not in said.audio:  # else its sound is named already
                bad.add("text without audio", name)
            continue
        if not said.texts.get(name):
            bad.add("audio without text", name)
            continue
        end = recording.duration if segment.end == TO_THE_END else segment.end
        found.append(
            SupervisionSegment(
                id=name,
                recording_id=segment.recording,
                start=segment.start,
                duration=add_durations(end, -segment.start, sampling_rate=recording.sampling_rate),
                text=said.texts[name],
                speaker=said.speakers.get(name),
            )
        )
    for name in said.texts:
        if name not in said.segments:
            bad.add("text without audio", name)
    return found


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    add_data_options(parser, corpus="kaldi")
    parser.add_argument("--kaldi-dir", required=True, help="folder of the data directories")
    parser.add_argument("--nj", type=positive_int, default=default_jobs(), help="threads")
    add_bad_option(parser)
    args = parser.parse_args(argv)
    start_logging()

    corpus = load_corpus(args.corpus)
    data_dir, kaldi_dir = Path(args.data_dir), Path(os.path.abspath(args.kaldi_dir))
    lists = [path for split in corpus.splits for path in list_files(kaldi_dir, split)]
    facts = {"kaldi_dir": str(kaldi_dir), "lists": digest(lists)}
    marker = data_dir / "manifests" / f".{corpus.prefix}.done"
    files = {split: manifest_paths(data_dir, corpus.prefix, split) for split in corpus.splits}
    outputs = [path for f in files.values() for path in (f.recordings, f.supervisions)]
    if is_done(marker, facts, outputs) and audio_is_found(outputs[0]):
        logging.info("%s is already prepared", corpus.name)
        return 0
    before = (facts_in(marker) or facts).get("kaldi_dir")
    if before != facts["kaldi_dir"]:
        raise RecipeError(
            f"{data_dir} holds another corpus, that of {before}; give each --kaldi-dir a --data-dir"
        )
    said = {split: read_kaldi_dir(kaldi_dir, split) for split in corpus.splits}
    marker.unlink(missing_ok=True)
    for split, paths in files.items():
        bad = BadItems(split)
        recordings = scan(said[split].audio, args.nj, bad)
        supervisions = make_supervisions(said[split], recordings, bad)
        bad.report(len(supervisions) + len(bad), args.max_bad_fraction)
        write_manifest(recordings.values(), paths.recordings)
        write_manifest(supervisions, paths.supervisions)
        logging.info("%s: %d utterances", split, len(supervisions))
    mark_done(marker, facts)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
