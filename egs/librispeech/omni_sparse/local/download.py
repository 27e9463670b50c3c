#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Downloads the parts of LibriSpeech that a corpus needs, or MUSAN, with lhotse.

Usage:
    python3 -m local.download --corpus mini_librispeech --download-dir download
    python3 -m local.download --corpus musan --download-dir download

Parts that are complete are not fetched again. The corpus ends in <download-dir>/LibriSpeech or
<download-dir>/musan.
"""

from __future__ import annotations

import logging
import sys
import tarfile
from pathlib import Path

from lhotse.recipes import download_librispeech, download_musan
from lhotse.recipes.librispeech import LIBRISPEECH, MINI_LIBRISPEECH

from emformer.data.corpus import load_corpus
from emformer.errors import RecipeError, run_main
from emformer.options import Parser, start_logging


def download(corpus_name: str, target: Path) -> Path:
    """Fetch one corpus and return its folder.

    Raises:
        RecipeError: no such corpus to download, no network, a broken archive.
    """
    try:
        if corpus_name == "musan":
            return Path(download_musan(target))
        parts = load_corpus(corpus_name).splits
        foreign = [part for part in parts if part not in LIBRISPEECH + MINI_LIBRISPEECH]
        if foreign:
            raise RecipeError(
                f"{', '.join(foreign)}: not a part of LibriSpeech, cannot download it"
            )
        return Path(download_librispeech(target, dataset_parts=parts))
    except (OSError, tarfile.TarError, EOFError) as e:  # URLError is an OSError
        reason = " ".join(str(e).split())
        raise RecipeError(
            f"download of {corpus_name} into {target} failed: {reason}; try again, or give the "
            "corpus's folder with --corpus-dir if you have it"
        ) from e


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument(
        "--corpus", required=True, help="a LibriSpeech corpus of conf/corpus, or musan"
    )
    parser.add_argument("--download-dir", default="download", help="default: download")
    args = parser.parse_args(argv)
    start_logging()
    logging.info("in %s", download(args.corpus, Path(args.download_dir)))
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
