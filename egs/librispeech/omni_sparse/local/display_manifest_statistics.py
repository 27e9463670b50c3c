#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hours, utterances, words and speakers of each split.

Usage:
    python3 -m local.display_manifest_statistics --corpus synthetic --data-dir data/synthetic
"""

from __future__ import annotations

import sys
from pathlib import Path

from emformer.data.corpus import Corpus, load_corpus
from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError, run_main
from emformer.options import Parser, add_data_options

ROW = "{:<18} {:>8} {:>10} {:>10} {:>9} {:>9}"


def display(corpus: Corpus, data_dir: str | Path) -> None:
    """Print the table; splits without cuts are left out."""
    print(ROW.format("split", "hours", "utterances", "words", "speakers", "features"))
    for split in corpus.splits:
        path = manifest_paths(data_dir, corpus.prefix, split).cuts
        if not path.is_file():
            continue
        cuts = read_manifest(path, hint="run stage 3 (features)")
        supervisions = [s for cut in cuts for s in cut.supervisions]
        words = sum(len((s.text or "").split()) for s in supervisions)
        speakers = len({s.speaker for s in supervisions if s.speaker})
        hours = sum(cut.duration for cut in cuts) / 3600
        stored = "stored" if all(cut.has_features for cut in cuts) else "on the fly"
        print(ROW.format(split, f"{hours:.2f}", len(cuts), words, speakers, stored))


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    add_data_options(parser)
    args = parser.parse_args(argv)
    corpus = load_corpus(args.corpus)
    if not any(
        manifest_paths(args.data_dir, corpus.prefix, s).cuts.is_file() for s in corpus.splits
    ):
        raise RecipeError(
            f"no cuts of {corpus.name} in {args.data_dir}/fbank; run stage 3 (features)"
        )
    display(corpus, args.data_dir)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
