#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recording manifests of MUSAN (music, speech, noise), for mixing noise into training audio.

Usage:
    python3 -m local.prepare_musan --corpus-dir download/musan --data-dir data/librispeech
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from lhotse import Recording

from emformer.data.bad_items import BadItems
from emformer.data.manifests import audio_is_found, manifest_paths, scan_recording, write_manifest
from emformer.data.store import is_done, mark_done
from emformer.errors import RecipeError, run_main
from emformer.options import Parser, add_bad_option, start_logging

PARTS = ("music", "speech", "noise")
PREFIX = "musan"


def scan_part(folder: Path, max_bad_fraction: float) -> list[Recording]:
    """All recordings of one part by name; bad files are counted and left out."""
    bad = BadItems(f"musan {folder.name}")
    paths = sorted(folder.rglob("*.wav"))
    found = [scan_recording(path, path.stem, bad) for path in paths]
    bad.report(len(paths), max_bad_fraction)
    recordings = [recording for recording in found if recording is not None]
    if not recordings:
        raise RecipeError(f"no .wav files in {folder}")
    return recordings


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--corpus-dir", required=True, help="musan, or the folder above it")
    parser.add_argument("--data-dir", required=True, help="data folder of the corpus that uses it")
    add_bad_option(parser)
    args = parser.parse_args(argv)
    start_logging()

    corpus_dir = Path(args.corpus_dir)
    if (corpus_dir / "musan").is_dir():
        corpus_dir = corpus_dir / "musan"
    missing = [part for part in PARTS if not (corpus_dir / part).is_dir()]
    if missing:
        raise RecipeError(f"{corpus_dir} has no {', '.join(missing)}; download MUSAN (stage 0)")
    marker = Path(args.data_dir) / "manifests" / f".{PREFIX}.done"
    facts = {"corpus_dir": os.path.abspath(corpus_dir)}
    as_given = {"corpus_dir": str(corpus_dir)}  # release 0.1
    files = {part: manifest_paths(args.data_dir, PREFIX, part).recordings for part in PARTS}
    outputs = list(files.values())
    if any(is_done(marker, f, outputs) for f in (facts, as_given)) and audio_is_found(outputs[0]):
        logging.info("musan is already prepared")
        return 0
    marker.unlink(missing_ok=True)
    for part, path in files.items():
        recordings = scan_part(corpus_dir / part, args.max_bad_fraction)
        write_manifest(recordings, path)
        logging.info("%s: %d recordings", part, len(recordings))
    mark_done(marker, facts)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
