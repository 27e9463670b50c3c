# SPDX-License-Identifier: Apache-2.0
"""Stage 0 of the corpora `synthetic` and `quick`: speech spoken by libespeak-ng.

Usage:
  python3 -m local.prepare_synthetic --data-dir data/synthetic --nj 2
  python3 -m local.prepare_synthetic --corpus quick --data-dir data/quick
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from emformer.data.corpus import load_corpus
from emformer.errors import RecipeError, run_main
from emformer.options import Parser
from local.synthetic.corpus import (
    COMPLETE,
    corpus_dir,
    fingerprint,
    plan_corpus,
    read_speakers,
    speak_split,
)

# Options --num-*: what they count the utterances of.
_SIZES = {
    "train": "the training set",
    "dev": "the dev set",
    "search": "the set that sub-networks are searched on",
    "test": "each test set",
}


def get_parser() -> argparse.ArgumentParser:
    parser = Parser(__doc__)
    parser.add_argument(
        "--corpus", default="synthetic", help="synthetic or quick (default synthetic)"
    )
    parser.add_argument(
        "--data-dir", type=Path, help="its folder audio is written (default data/<corpus>)"
    )
    for option, what in _SIZES.items():
        text = f"utterances of {what}; default: the corpus's"
        parser.add_argument(f"--num-{option}", type=int, help=text)
    parser.add_argument("--seed", type=int, default=0, help="another seed, another corpus")
    parser.add_argument("--nj", type=int, default=2, help="processes")
    return parser


def main() -> None:
    args = get_parser().parse_args()
    corpus = load_corpus(args.corpus)
    if corpus.source != "synthetic":
        raise RecipeError(f"--corpus {args.corpus}: it is not spoken by espeak-ng")
    folder = corpus_dir(corpus.name)
    sizes = {split: _size(args, split, at) for split, at in read_speakers(folder).items()}
    if min(sizes.values()) < 1 or args.nj < 1:
        raise RecipeError(f"the --num options and --nj must be 1 or more: {sizes}, {args.nj}")
    data_dir = args.data_dir or Path("data") / corpus.name
    plan = plan_corpus(sizes, args.seed, folder)
    audio_dir = data_dir / "audio"
    _claim(audio_dir, fingerprint(sizes, args.seed, folder))
    for split, utterances in plan.items():
        words = sum(len(u.text.split()) for u in utterances)
        print(f"{split}: {len(utterances)} utterances, {words} words", flush=True)

        def progress(items, total, split=split):
            return tqdm(items, total=total, desc=split, unit="shard", disable=None)

        speak_split(utterances, audio_dir / split, args.nj, progress)
    if not (audio_dir / COMPLETE).exists():
        (audio_dir / COMPLETE).touch()


def _size(args: argparse.Namespace, split: str, settings: dict[str, Any]) -> int:
    """Utterances of a split, as an option or else the corpus says."""
    given = getattr(args, f"num_{split.partition('-')[0]}")
    return settings["utterances"] if given is None else given


def _claim(audio_dir: Path, wanted: str) -> None:
    """Refuse a folder that holds another corpus; an interrupted run of the same one goes on."""
    stamp = audio_dir / "fingerprint"
    if not stamp.exists():
        audio_dir.mkdir(parents=True, exist_ok=True)
        part = stamp.with_suffix(".part")
        part.write_text(wanted + "\n")
        os.replace(part, stamp)
    found = stamp.read_text().strip()
    if found != wanted:
        raise RecipeError(
            f"{audio_dir} holds another synthetic corpus (other sizes, seed or grammar); "
            f"choose another --data-dir or delete {audio_dir.parent}"
        )


if __name__ == "__main__":
    sys.exit(run_main(main))
