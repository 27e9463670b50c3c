#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a corpus's manifests, and its cuts and features where they exist; exit 1 if wrong.

Usage:
    python3 -m local.validate_manifest --corpus synthetic --data-dir data/synthetic

Warnings (counted): recordings without text, empty texts, symbols in texts that the tokenizer
reserves.
Errors (counted, each named): texts without audio, duplicate ids, recordings shared by two splits,
cuts without text, features of a wrong size or number of frames, unreadable or not finite.
--max-features limits how many feature matrices are read of each split (0 for all of them).
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from lhotse import MonoCut

from emformer.data.bad_items import BadItems
from emformer.data.corpus import Corpus, load_corpus
from emformer.data.features import FRAME_SHIFT, NUM_MEL_BINS
from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError, run_main
from emformer.options import Parser, add_data_options, start_logging, str2bool
from emformer.text import TextPipeline


def duplicates(names: Iterable[str]) -> list[str]:
    return [name for name, n in Counter(names).items() if n > 1]


def check_manifests(
    recordings: list, supervisions: list, errors: BadItems, warnings: BadItems
) -> None:
    """Hold recordings and supervisions of one split against each other."""
    known, pipeline = {recording.id for recording in recordings}, TextPipeline()
    for kind, items in (("recording", recordings), ("supervision", supervisions)):
        for name in duplicates(item.id for item in items):
            errors.add(f"duplicate {kind} id", name)
    for supervision in supervisions:
        if supervision.recording_id not in known:
            errors.add("text without audio", supervision.id)
        elif not pipeline.words(supervision.text):
            warnings.add("empty text", supervision.id)
        elif symbol := pipeline.reserved_in(supervision.text):
            warnings.add(f"reserved symbol {symbol} in a text", supervision.id)
    for name in sorted(known - {supervision.recording_id for supervision in supervisions}):
        warnings.add("audio without text", name)


def check_cuts(cuts: list[MonoCut], sample_rate: int, max_features: int, errors: BadItems) -> None:
    """Check cuts of one split, and read the features of up to ``max_features`` (0: all) of them."""
    for name in duplicates(cut.id for cut in cuts):
        errors.add("duplicate cut id", name)
    stored = [cut for cut in cuts if cut.has_features]
    if stored and len(stored) < len(cuts):
        for cut in cuts:
            if not cut.has_features:
                errors.add("cut without features among others with them", cut.id)
    for cut in cuts:
        if len(cut.supervisions) != 1 or not (cut.supervisions[0].text or "").strip():
            errors.add("cut without text", cut.id)
        if cut.has_recording and cut.sampling_rate != sample_rate:
            errors.add(f"sample rate {cut.sampling_rate} (want {sample_rate})", cut.id)
    # Evenly over the split, so that a limit does not only see its beginning.
    step = max(1, len(stored) // max_features) if max_features else 1
    for cut in stored[::step]:
        problem = feature_problem(cut)
        if problem:
            errors.add(problem, cut.id, cut.features.storage_path)


def feature_problem(cut: MonoCut) -> str:
    """What is wrong with a cut's features, or an empty string."""
    if cut.features.num_frames == 0:
        return "features of no frame, as older releases made; delete fbank and run stage 3"
    expected = round(cut.duration / FRAME_SHIFT)
    # Rounding half a frame may go either way between samples and seconds.
    if cut.features.num_features != NUM_MEL_BINS or abs(cut.features.num_frames - expected) > 1:
        return "feature manifest of wrong size"
    try:
        feats = cut.features.load()
    except Exception:  # each storage backend raises its own kinds
        return "features unreadable"
    if feats.shape != (cut.features.num_frames, NUM_MEL_BINS):
        return "features of other size than in the manifest"
    return "" if np.isfinite(feats).all() else "features not finite"


def check_overlap(groups: dict[str, set[str]], errors: BadItems) -> None:
    """No recording may be in two splits: a test on training audio measures nothing."""
    seen: dict[str, str] = {}
    for split, names in groups.items():
        for name in sorted(names):
            if name in seen:
                errors.add(f"recording in both {seen[name]} and {split}", name)
            seen[name] = split


def validate(corpus: Corpus, data_dir: Path, max_features: int, allow_missing: bool) -> int:
    """Check all splits; returns the number of utterances.

    Raises:
        RecipeError: errors were found; its text counts them.
    """
    errors, warnings = BadItems(corpus.name), BadItems(corpus.name)
    groups: dict[str, set[str]] = {}
    total = 0
    for split in corpus.splits:
        paths = manifest_paths(data_dir, corpus.prefix, split)
        if allow_missing and not paths.supervisions.is_file():
            logging.warning("%s: no manifests, left out", split)
            continue
        recordings = read_manifest(paths.recordings, hint="run stage 1 (manifests)")
        supervisions = read_manifest(paths.supervisions, hint="run stage 1 (manifests)")
        check_manifests(recordings, supervisions, errors, warnings)
        groups[split] = {recording.id for recording in recordings}
        total += len(supervisions)
        if paths.cuts.is_file():
            check_cuts(read_manifest(paths.cuts), corpus.sample_rate, max_features, errors)
        logging.info("%s: %d recordings, %d texts", split, len(recordings), len(supervisions))
    if not groups:
        raise RecipeError(f"no manifests of {corpus.name} in {data_dir}/manifests")
    check_overlap(groups, errors)
    for reason, n in warnings.counts().items():
        logging.warning("%s: %d %s", corpus.name, n, reason)
    for reason, name, path in errors.items[:50]:
        logging.error("%s: %s: %s %s", corpus.name, reason, name, path)
    if errors:
        counted = ", ".join(f"{n} {reason}" for reason, n in errors.counts().items())
        raise RecipeError(f"{corpus.name}: {len(errors)} errors in {total} utterances: {counted}")
    return total


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    add_data_options(parser)
    parser.add_argument(
        "--max-features", type=int, default=1000, help="matrices to read of a split"
    )
    parser.add_argument(
        "--allow-missing", type=str2bool, default=False, help="leave out splits without manifests"
    )
    args = parser.parse_args(argv)
    start_logging()
    corpus = load_corpus(args.corpus)
    total = validate(corpus, Path(args.data_dir), max(0, args.max_features), args.allow_missing)
    logging.info("%s: %d utterances are sound", corpus.name, total)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
