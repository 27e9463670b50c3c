#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints what a corpus is called and how it is split.

Usage:
    python3 -m local.corpus librispeech_100                    # all of it
    python3 -m local.corpus librispeech_100 --get vocab_size   # one value, for shell scripts
"""

from __future__ import annotations

import sys
from dataclasses import fields

from emformer.data.corpus import Corpus, load_corpus
from emformer.errors import run_main
from emformer.options import Parser


def _as_word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("corpus", help="name of a corpus, or path of a YAML file")
    names = [f.name for f in fields(Corpus)] + ["splits"]
    parser.add_argument("--get", choices=names, help="print the value of this field only")
    args = parser.parse_args(argv)
    corpus = load_corpus(args.corpus)
    if args.get:
        print(_as_word(getattr(corpus, args.get)))
    else:
        for name in names:
            print(f"{name}: {_as_word(getattr(corpus, name))}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
