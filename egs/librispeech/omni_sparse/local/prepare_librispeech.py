#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manifests of LibriSpeech (mini, 100 hours or all) from a copy on disk.

Usage:
    python3 -m local.prepare_librispeech --corpus librispeech_100 \
        --corpus-dir download/LibriSpeech --data-dir data/librispeech_100

The parts are those that conf/corpus/<corpus>.yaml names; local/download.py fetches them. lhotse's
recipe parses the utterances, one by one, so that a broken file is counted and left out instead of
stopping the whole, and in sorted order, so that the manifests are the same on every machine.
"""

from __future__ import annotations

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lhotse import Recording, SupervisionSegment
from lhotse.recipes.librispeech import parse_utterance

from emformer.data.bad_items import BadItems
from emformer.data.corpus import load_corpus
from emformer.data.manifests import audio_is_found, manifest_paths, write_manifest
from emformer.data.store import is_done, mark_done
from emformer.errors import RecipeError, run_main
from emformer.options import (
    Parser,
    add_bad_option,
    add_data_options,
    default_jobs,
    positive_int,
    start_logging,
    str2bool,
)

Utterance = tuple[Recording, SupervisionSegment]


def find_corpus(folder: Path) -> Path:
    """The folder that holds the parts: the one given, or LibriSpeech inside it."""
    inner = folder / "LibriSpeech"
    corpus_dir = inner if inner.is_dir() else folder
    if not corpus_dir.is_dir():
        raise RecipeError(
            f"no such folder: {folder}; download LibriSpeech (stage 0) or mend --corpus-dir"
        )
    return corpus_dir


def parse_part(part_dir: Path, nj: int, bad: BadItems) -> tuple[list[Utterance], int]:
    """Parse one part in ``nj`` threads.

    Returns the utterances by id, and the number of utterances and stray audio files seen.
    """
    lines: dict[str, str] = {}
    total = 0
    for transcript in sorted(part_dir.rglob("*.trans.txt")):
        try:
            text = transcript.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            total += 1
            bad.add("unreadable transcript", transcript.name, transcript)
            continue
        for line in filter(None, map(str.strip, text.splitlines())):
            total += 1
            name = line.split(maxsplit=1)[0]
            if name in lines:
                bad.add("duplicate id", name, transcript)
                continue
            lines[name] = line
    audio = {path.stem: path for path in sorted(part_dir.rglob("*.flac"))}
    for name in sorted(set(audio) - set(lines)):
        total += 1
        bad.add("audio without text", name, audio[name])
    with ThreadPoolExecutor(nj) as pool:
        names = sorted(lines)
        parsed = list(pool.map(lambda name: _parse(part_dir, lines[name]), names))
    utterances = []
    for name, item in zip(names, parsed, strict=True):
        if isinstance(item, str):
            bad.add(item, name, audio.get(name, ""))
        else:
            utterances.append(item)
    return utterances, total


def _parse(part_dir: Path, line: str) -> Utterance | str:
    """The two manifests of a transcript's line, or what is wrong with it."""
    words = line.split(maxsplit=1)
    if len(words) < 2:
        return "audio without text"
    if words[0].count("-") != 2:
        return "id not {speaker}-{chapter}-{number}"
    if not (part_dir / Path(words[0].replace("-", "/")).parent / f"{words[0]}.flac").is_file():
        return "text without audio"
    try:
        parsed = parse_utterance(part_dir, line, alignments={})
    except Exception:  # soundfile and lhotse's fallbacks each raise their own kinds
        return "unreadable"
    if parsed is None:
        return "text without audio"
    return "empty" if parsed[0].num_samples == 0 else parsed


def present_parts(corpus_dir: Path, parts: tuple[str, ...], allow_missing: bool) -> list[str]:
    """The parts whose folders are there."""
    missing = [part for part in parts if not (corpus_dir / part).is_dir()]
    if len(missing) == len(parts) or (missing and not allow_missing):
        hint = "" if len(missing) == len(parts) else ", or --allow-missing true to go on without"
        raise RecipeError(
            f"{corpus_dir} has no {', '.join(missing)}; download them (stage 0){hint}"
        )
    for part in missing:
        logging.warning("%s: not in %s, left out", part, corpus_dir)
    return [part for part in parts if part not in missing]


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    add_data_options(parser)
    parser.add_argument("--corpus-dir", required=True, help="LibriSpeech, or the folder above it")
    parser.add_argument("--nj", type=positive_int, default=default_jobs(), help="threads")
    parser.add_argument(
        "--allow-missing", type=str2bool, default=False, help="leave out absent parts"
    )
    add_bad_option(parser)
    args = parser.parse_args(argv)
    start_logging()

    corpus = load_corpus(args.corpus)
    corpus_dir = find_corpus(Path(args.corpus_dir))
    parts = present_parts(corpus_dir, corpus.splits, args.allow_missing)
    marker = Path(args.data_dir) / "manifests" / f".{corpus.prefix}.done"
    facts = {"corpus_dir": os.path.abspath(corpus_dir), "parts": parts}
    files = [manifest_paths(args.data_dir, corpus.prefix, part) for part in parts]
    outputs = [f.recordings for f in files] + [f.supervisions for f in files]
    as_given = {**facts, "corpus_dir": str(corpus_dir)}  # release 0.1
    if any(is_done(marker, f, outputs) for f in (facts, as_given)) and audio_is_found(outputs[0]):
        logging.info("%s is already prepared", corpus.name)
        return 0
    marker.unlink(missing_ok=True)
    for part, paths in zip(parts, files, strict=True):
        bad = BadItems(part)
        utterances, total = parse_part(corpus_dir / part, args.nj, bad)
        bad.report(total, args.max_bad_fraction)
        if not utterances:
            raise RecipeError(f"no utterances in {corpus_dir / part}")
        write_manifest([recording for recording, _ in utterances], paths.recordings)
        write_manifest([supervision for _, supervision in utterances], paths.supervisions)
        logging.info("%s: %d utterances", part, len(utterances))
    mark_done(marker, facts)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
