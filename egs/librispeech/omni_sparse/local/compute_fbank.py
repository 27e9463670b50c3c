#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manifests to cuts with features: data_dir/fbank/<prefix>_cuts_<split>.jsonl.gz.

Usage:
    python3 -m local.compute_fbank --corpus librispeech_100 --data-dir data/librispeech_100 --nj 8
    python3 -m local.compute_fbank --corpus synthetic --data-dir data/synthetic --on-the-fly true

Every utterance is decoded once. Audio that is unreadable, empty, stereo or of another sample rate,
audio without text and text without audio are left out, each by name, with a summary line; a larger
share than --max-bad-fraction is an error. With --on-the-fly true no features are stored and
training computes them. A cut manifest appears only when its split is complete; a run that was
interrupted goes on with the splits that are missing. The order of the training cuts is shuffled,
always alike.

What lies in the data folder is named relative to the cut manifest; programs that read it by lhotse
alone want with_features_path_prefix("<data-dir>/fbank").
"""

from __future__ import annotations

import logging
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from lhotse import MonoCut

from emformer.data.bad_items import BadItems
from emformer.data.corpus import Corpus, load_corpus
from emformer.data.cut_builder import build_cuts
from emformer.data.fbank_shard import run_pool
from emformer.data.features import SAMPLE_RATE
from emformer.data.manifests import (
    content_digest,
    manifest_paths,
    read_manifest,
    write_manifest,
)
from emformer.data.store import is_done, is_made, mark_done
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
from local.display_manifest_statistics import display


def perturb_speed(cuts: list[MonoCut], speeds: Sequence[float]) -> list[MonoCut]:
    """The cuts and their copies at other speeds."""
    return cuts + [cut.perturb_speed(factor) for factor in speeds for cut in cuts]


def perturbs_speed(corpus: Corpus, split: str, args) -> bool:
    """Whether a split has such copies: only training, and as the corpus says unless told else."""
    wanted = corpus.perturb_speed if args.perturb_speed is None else args.perturb_speed
    return wanted and split in corpus.train


def facts_of(corpus: Corpus, split: str, args) -> dict:
    """What the cuts of a split depend on."""
    paths = manifest_paths(args.data_dir, corpus.prefix, split)
    manifests = (paths.recordings, paths.supervisions)
    for path in manifests:
        if not path.is_file():
            raise RecipeError(f"no such file: {path}; run stage 1 (manifests)")
    facts = {
        "manifests": content_digest(manifests),
        "on_the_fly": args.on_the_fly,
        "perturb_speed": perturbs_speed(corpus, split, args),
        "backend": args.backend,
    }
    # Not of the speeds that all corpora had before there was a choice, so that theirs stay.
    if facts["perturb_speed"] and corpus.speeds != Corpus.speeds:
        facts["speeds"] = list(corpus.speeds)
    return facts


def is_computed(corpus: Corpus, split: str, args, facts: dict) -> bool:
    """Whether the cuts of a split are there and made from the same manifests."""
    paths = manifest_paths(args.data_dir, corpus.prefix, split)
    outputs = [paths.cuts] if args.on_the_fly else [paths.cuts, paths.features]
    return is_made(paths.marker, facts, [paths.recordings, paths.supervisions], outputs)


def compute_split(corpus: Corpus, split: str, args, facts: dict) -> None:
    """Make the cuts of one split."""
    paths = manifest_paths(args.data_dir, corpus.prefix, split)
    recordings = read_manifest(paths.recordings, hint="run stage 1 (manifests)")
    supervisions = read_manifest(paths.supervisions, hint="run stage 1 (manifests)")
    # What is there was made from something else: gone before the features below it change.
    paths.marker.unlink(missing_ok=True)
    paths.cuts.unlink(missing_ok=True)
    shutil.rmtree(paths.features, ignore_errors=True)

    bad = BadItems(split)
    cuts = build_cuts(recordings, supervisions, corpus.sample_rate, bad)
    total = len(cuts) + len(bad)
    if perturbs_speed(corpus, split, args):
        cuts = perturb_speed(cuts, corpus.speeds)
        total = len(cuts) + len(bad)
    if split in corpus.train:
        random.Random(0).shuffle(cuts)
    folder = None if args.on_the_fly else paths.features
    done = run_pool(cuts, folder, bad, args.nj, args.device, args.backend)
    bad.report(total, args.max_bad_fraction)
    write_manifest(done, paths.cuts)
    mark_done(paths.marker, facts)


def splits_to_do(corpus: Corpus, args) -> list[str]:
    """The asked-for splits that have manifests."""
    splits = args.splits or list(corpus.splits)
    unknown = [split for split in splits if split not in corpus.splits]
    if unknown:
        raise RecipeError(
            f"corpus {corpus.name} has no split {', '.join(unknown)}; "
            f"it has {', '.join(corpus.splits)}"
        )
    missing = [
        split
        for split in splits
        if not manifest_paths(args.data_dir, corpus.prefix, split).supervisions.is_file()
    ]
    if missing and (not args.allow_missing or len(missing) == len(splits)):
        raise RecipeError(
            f"no manifests of {', '.join(missing)} in {args.data_dir}/manifests; "
            "run stage 1 (manifests)"
        )
    for split in missing:
        logging.warning("%s: no manifests, left out", split)
    return [split for split in splits if split not in missing]


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    add_data_options(parser)
    parser.add_argument("--nj", type=positive_int, default=default_jobs(), help="processes")
    parser.add_argument("--on-the-fly", type=str2bool, default=False, help="store no features")
    parser.add_argument(
        "--perturb-speed",
        type=str2bool,
        help="add copies at other speeds in training (default: as the corpus says)",
    )
    parser.add_argument(
        "--splits", nargs="+", help="only these splits (default: all of the corpus)"
    )
    parser.add_argument(
        "--allow-missing", type=str2bool, default=False, help="leave out splits without manifests"
    )
    parser.add_argument("--device", default="cpu", help="of the extractor; with cuda use --nj 1")
    parser.add_argument("--backend", help="kaldifeat or lhotse (default: the first installed)")
    add_bad_option(parser)
    args = parser.parse_args(argv)
    start_logging()

    corpus = load_corpus(args.corpus)
    if corpus.sample_rate != SAMPLE_RATE:
        raise RecipeError(
            f"corpus {corpus.name} is at {corpus.sample_rate} Hz, the features need {SAMPLE_RATE}; "
            "resample the audio first"
        )
    marker = Path(args.data_dir) / "fbank" / f".{corpus.prefix}.done"
    splits = splits_to_do(corpus, args)
    facts = {split: facts_of(corpus, split, args) for split in splits}
    missing = [one for one in splits if not is_computed(corpus, one, args, facts[one])]
    for split in splits:
        if split not in missing:
            logging.info("%s: already there", split)
    all_facts = {"splits": splits, "on_the_fly": args.on_the_fly}
    # Nothing is touched where all is done: the folder may be another's, who shares it.
    if missing or not is_done(marker, all_facts, []):
        marker.unlink(missing_ok=True)
        for split in missing:
            compute_split(corpus, split, args, facts[split])
        mark_done(marker, all_facts)
    display(corpus, args.data_dir)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
