#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MUSAN manifests to 10-second cuts of noise: data_dir/fbank/musan_cuts.jsonl.gz.

Usage:
    python3 -m local.compute_fbank_musan --data-dir data/librispeech --nj 8

Features are stored unless --on-the-fly true is given: use what compute_fbank was given, since noise
is mixed into features where features are stored and into samples otherwise.
"""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

from lhotse import CutSet, MonoCut, Recording

from emformer.data.bad_items import BadItems
from emformer.data.cut_builder import audio_problem
from emformer.data.fbank_shard import run_pool
from emformer.data.features import SAMPLE_RATE
from emformer.data.manifests import (
    content_digest,
    manifest_paths,
    read_manifest,
    source_of,
    write_manifest,
)
from emformer.data.store import is_made, mark_done
from emformer.errors import run_main
from emformer.options import (
    Parser,
    add_bad_option,
    default_jobs,
    positive_int,
    start_logging,
    str2bool,
)
from local.prepare_musan import PARTS, PREFIX

WINDOW, SHORTEST = 10.0, 5.0  # seconds; remainders below SHORTEST are dropped


def noise_cuts(recordings: list[Recording], bad: BadItems) -> list[MonoCut]:
    """Cut the good recordings into windows."""
    whole = []
    for recording in recordings:
        reason = audio_problem(recording, SAMPLE_RATE)
        if reason:
            bad.add(reason, recording.id, source_of(recording))
        else:
            whole.append(recording.to_cut())
    if not whole:
        return []
    windows = CutSet.from_cuts(whole).cut_into_windows(WINDOW)
    return [cut for cut in windows if cut.duration >= SHORTEST]


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--data-dir", required=True, help="data folder of the corpus that uses it")
    parser.add_argument("--nj", type=positive_int, default=default_jobs(), help="processes")
    parser.add_argument("--on-the-fly", type=str2bool, default=False, help="store no features")
    parser.add_argument("--device", default="cpu", help="of the extractor; with cuda use --nj 1")
    parser.add_argument("--backend", help="kaldifeat or lhotse (default: the first installed)")
    add_bad_option(parser)
    args = parser.parse_args(argv)
    start_logging()

    manifests = [manifest_paths(args.data_dir, PREFIX, part).recordings for part in PARTS]
    recordings = [r for path in manifests for r in read_manifest(path, hint="run stage 2 (musan)")]
    folder = Path(args.data_dir) / "fbank"
    marker, output, feats = (
        folder / f".{PREFIX}.done",
        folder / "musan_cuts.jsonl.gz",
        folder / "musan_feats",
    )
    facts = {
        "manifests": content_digest(manifests),
        "on_the_fly": args.on_the_fly,
        "backend": args.backend,
    }
    if is_made(marker, facts, manifests, [output] if args.on_the_fly else [output, feats]):
        logging.info("musan: already there")
        return 0
    marker.unlink(missing_ok=True)
    output.unlink(missing_ok=True)
    shutil.rmtree(feats, ignore_errors=True)
    bad = BadItems("musan")
    cuts = noise_cuts(recordings, bad)
    total = len(cuts) + len(bad)
    target = None if args.on_the_fly else feats
    done = run_pool(cuts, target, bad, args.nj, args.device, args.backend)
    bad.report(total, args.max_bad_fraction)
    write_manifest(done, output)
    mark_done(marker, facts)
    logging.info("musan: %d cuts", len(done))
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
