#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manifests of CMU's AN4 (speech.cs.cmu.edu/databases/an4) from a copy on disk.

Usage (a folder with etc/an4_train.fileids, etc/an4_train.transcription, wav/an4_clstk and the same
of an4_test, as an4_sphere.tar.gz has them; sound may be .sph, .flac or .wav):
    python3 -m local.prepare_an4 --corpus an4 --an4-dir download/an4 --data-dir data/an4

Splits:
    train, dev  the official training set; dev has about --dev-utts utterances, all those of some
                speakers
    test        the official test set
No speaker is in two of them. Spelled letters are words: "GEORGE", spelled, is G E O R G E.

lhotse opens .sph files by sph2pipe alone, so these are copied to data_dir/audio as FLAC, sample by
sample; others stay where they are.
"""

from __future__ import annotations

import logging
import os
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import soundfile
from lhotse import Recording, SupervisionSegment

from emformer.data.bad_items import BadItems
from emformer.data.corpus import load_corpus
from emformer.data.manifests import (
    audio_is_found,
    manifest_paths,
    scan_recording,
    write_manifest,
)
from emformer.data.store import digest, is_done, mark_done
from emformer.errors import RecipeError, run_main
from emformer.options import (
    Parser,
    add_bad_option,
    add_data_options,
    positive_int,
    start_logging,
)

SPHERE = ".sph"
SUFFIXES = (SPHERE, ".flac", ".wav")
#: "<s> YES </s> (an251-fash-b)"; the test set's lines have no marks.
_LINE = re.compile(r"(?:<s>\s)?(?P<text>[^()]*?)(?:\s*</s>)?\s*\((?P<id>[^()\s]+)\)")


@dataclass(frozen=True)
class Utterance:
    """One of AN4's recordings."""

    id: str
    speaker: str
    audio: Path
    text: str


def list_files(an4_dir: Path, name: str) -> tuple[Path, Path]:
    """The list of a set's files, and its transcripts.

    Raises:
        RecipeError: one is missing.
    """
    files = (an4_dir / "etc" / f"an4_{name}.fileids", an4_dir / "etc" / f"an4_{name}.transcription")
    for path in files:
        if not path.is_file():
            raise RecipeError(
                f"no such file: {path}; give --an4-dir the folder that AN4's archive unpacks to"
            )
    return files


def parse_line(line: str) -> tuple[str, str] | None:
    """``<s> G E O R G E </s> (cen1-fash-b)`` to its id and its text; None for another kind."""
    match = _LINE.fullmatch(line.strip())
    return (match["id"], " ".join(match["text"].upper().split())) if match else None


def read_set(an4_dir: Path, name: str, max_bad_fraction: float) -> list[Utterance]:
    """The good utterances of a set, ``train`` or ``test``; bad ones are named and left out."""
    fileids, transcripts = list_files(an4_dir, name)
    bad, texts = BadItems(f"an4_{name}"), {}
    for line in filter(None, map(str.strip, _read(transcripts).splitlines())):
        parsed = parse_line(line)
        if parsed is None:
            bad.add("transcript without (id)", line[:60])
        elif parsed[0] in texts:
            bad.add("duplicate transcript", parsed[0])
        else:
            texts[parsed[0]] = parsed[1]
    found: dict[str, Utterance] = {}
    listed = _read(fileids).split()
    for fileid in listed:
        place = PurePosixPath(fileid)
        audio = _find_audio(an4_dir, fileid)
        if place.name in found:
            bad.add("duplicate id", place.name)
        elif audio is None:
            bad.add("text without audio", place.name, an4_dir / "wav" / fileid)
        elif not texts.get(place.name):
            bad.add("audio without text", place.name, audio)
        else:
            utterance = Utterance(place.name, place.parent.name, audio, texts[place.name])
            found[place.name] = utterance
    bad.report(len(listed), max_bad_fraction)
    if not found:
        raise RecipeError(f"{fileids}: names no utterance")
    return list(found.values())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise RecipeError(f"{path}: no text in UTF-8 ({e})") from e


def _find_audio(an4_dir: Path, fileid: str) -> Path | None:
    paths = (an4_dir / "wav" / (fileid + suffix) for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def choose_speakers(counts: Mapping[str, int], wanted: int, seed: int) -> set[str]:
    """Speakers who have ``wanted`` utterances together, or as many below as whole speakers allow.

    Drawn by chance: women and men stand apart in AN4's alphabetical order.
    """
    order = sorted(counts)
    random.Random(seed).shuffle(order)
    reached: dict[int, tuple[str, ...]] = {0: ()}
    for speaker in order:
        for total, chosen in list(reached.items()):
            more = total + counts[speaker]
            if more <= wanted and more not in reached:
                reached[more] = (*chosen, speaker)
    return set(reached[max(reached)])


def split_sets(
    train: list[Utterance], test: list[Utterance], dev_utts: int, seed: int
) -> dict[str, list[Utterance]]:
    """Train, dev and test.

    Raises:
        RecipeError: a split would be empty.
    """
    held_out = choose_speakers(Counter(one.speaker for one in train), dev_utts, seed)
    splits = {
        "train": [one for one in train if one.speaker not in held_out],
        "dev": [one for one in train if one.speaker in held_out],
        "test": test,
    }
    for name, utterances in splits.items():
        if not utterances:
            raise RecipeError(
                f"--dev-utts {dev_utts} leaves nothing for {name} of {len(train)} utterances in "
                "the training set; a split has whole speakers"
            )
    return splits


def check_speakers(splits: Mapping[str, list[Utterance]]) -> None:
    """A speaker heard in training says nothing of how well others are understood.

    Raises:
        RecipeError: names speakers that are in two splits.
    """
    seen: dict[str, str] = {}
    leaks: dict[str, str] = {}
    for split, utterances in splits.items():
        for speaker in sorted({one.speaker for one in utterances}):
            if speaker in seen:
                leaks[speaker] = f"{speaker} (in {seen[speaker]} and {split})"
            seen[speaker] = split
    if leaks:
        raise RecipeError(
            f"speakers in two splits ({len(leaks)}): {', '.join(list(leaks.values())[:5])}; "
            "mend etc/*.fileids, where a file's folder is its speaker"
        )


def to_flac(utterances: list[Utterance], folder: Path, bad: BadItems) -> list[Utterance]:
    """Utterances with sound that lhotse opens; ``folder`` is made anew with copies of the rest."""
    shutil.rmtree(folder, ignore_errors=True)
    found = []
    for one in utterances:
        if one.audio.suffix == SPHERE:
            path = folder / f"{one.id}.flac"
            folder.mkdir(parents=True, exist_ok=True)
            try:
                samples, rate = soundfile.read(one.audio, dtype="int16")
                soundfile.write(path, samples, rate, subtype="PCM_16")
            except RuntimeError:  # the base of soundfile's own error
                bad.add("unreadable", one.id, one.audio)
                continue
            one = replace(one, audio=path)
        found.append(one)
    return found


def manifests_of(
    utterances: list[Utterance], bad: BadItems
) -> tuple[list[Recording], list[SupervisionSegment]]:
    """Manifests of the utterances whose sound can be read."""
    recordings, supervisions = [], []
    for one in utterances:
        recording = scan_recording(one.audio, one.id, bad)
        if recording is None:
            continue
        recordings.append(recording)
        supervisions.append(
            SupervisionSegment(
                id=one.id,
                recording_id=one.id,
                start=0.0,
                duration=recording.duration,
                text=one.text,
                language="English",
                speaker=one.speaker,
            )
        )
    return recordings, supervisions


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    add_data_options(parser, corpus="an4")
    parser.add_argument("--an4-dir", required=True, help="folder that contains etc/ and wav/")
    parser.add_argument("--dev-utts", type=positive_int, default=100, help="at most (default 100)")
    parser.add_argument("--seed", type=int, default=42, help="of who is in dev")
    add_bad_option(parser)
    args = parser.parse_args(argv)
    start_logging()

    corpus = load_corpus(args.corpus)
    an4_dir = Path(os.path.abspath(args.an4_dir))
    lists = [path for name in ("train", "test") for path in list_files(an4_dir, name)]
    facts = {
        "an4_dir": str(an4_dir),
        "lists": digest(lists),
        "dev_utts": args.dev_utts,
        "seed": args.seed,
    }
    data_dir = Path(args.data_dir)
    marker = data_dir / "manifests" / f".{corpus.prefix}.done"
    files = {split: manifest_paths(data_dir, corpus.prefix, split) for split in corpus.splits}
    outputs = [path for f in files.values() for path in (f.recordings, f.supervisions)]
    if is_done(marker, facts, outputs) and audio_is_found(outputs[0]):
        logging.info("%s is already prepared", corpus.name)
        return 0
    marker.unlink(missing_ok=True)

    sets = [read_set(an4_dir, name, args.max_bad_fraction) for name in ("train", "test")]
    splits = split_sets(*sets, args.dev_utts, args.seed)
    check_speakers(splits)
    if set(splits) != set(corpus.splits):
        raise RecipeError(f"corpus {corpus.name} must name the splits {', '.join(splits)}")
    for split, utterances in splits.items():
        bad = BadItems(split)
        found = to_flac(utterances, data_dir / "audio" / split, bad)
        recordings, supervisions = manifests_of(found, bad)
        bad.report(len(utterances), args.max_bad_fraction)
        write_manifest(recordings, files[split].recordings)
        write_manifest(supervisions, files[split].supervisions)
        speakers = sorted({one.speaker for one in supervisions})
        logging.info("%s: %d utterances of %d speakers", split, len(supervisions), len(speakers))
        if split == "dev":
            logging.info("dev: %s", " ".join(speakers))
    mark_done(marker, facts)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
