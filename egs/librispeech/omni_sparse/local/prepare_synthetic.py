# SPDX-License-Identifier: Apache-2.0
"""Stage 0 of the corpus `synthetic`: speech spoken by libespeak-ng.

Usage:
  python3 -m local.prepare_synthetic --data-dir data/synthetic --nj 2
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from emformer.errors import RecipeError, run_main
from emformer.options import Parser
from local.synthetic.corpus import COMPLETE, fingerprint, plan_corpus, speak_split


def get_parser() -> argparse.ArgumentParser:
    parser = Parser(__doc__)
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path("data/synthetic"),
        help="its folder audio is written (default data/synthetic)",
    )
    parser.add_argument("--num-train", type=int, default=16000, help="training utterances")
    parser.add_argument("--num-dev", type=int, default=200, help="utterances of the dev set")
    parser.add_argument(
        "--num-search", type=int, default=600, help="utterances that sub-networks are searched on"
    )
    parser.add_argument("--num-test", type=int, default=1000, help="utterances of each test set")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another corpus")
    parser.add_argument("--nj", type=int, default=2, help="processes")
    return parser


def main() -> None:
    args = get_parser().parse_args()
    sizes = {
        "train": args.num_train,
        "dev": args.num_dev,
        "search": args.num_search,
        "test-clean": args.num_test,
        "test-other": args.num_test,
    }
    if min(sizes.values()) < 1 or args.nj < 1:
        raise RecipeError(f"the --num options and --nj must be 1 or more: {sizes}, {args.nj}")
    plan = plan_corpus(sizes, args.seed)
    audio_dir = args.data_dir / "audio"
    _claim(audio_dir, fingerprint(sizes, args.seed))
    for split, utterances in plan.items():
        words = sum(len(u.text.split()) for u in utterances)
        print(f"{split}: {len(utterances)} utterances, {words} words", flush=True)

        def progress(items, total, split=split):
            return tqdm(items, total=total, desc=split, unit="shard", disable=None)

        speak_split(utterances, audio_dir / split, args.nj, progress)
    if not (audio_dir / COMPLETE).exists():
        (audio_dir / COMPLETE).touch()


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
