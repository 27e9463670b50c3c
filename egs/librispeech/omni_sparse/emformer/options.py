# SPDX-License-Identifier: Apache-2.0
"""Command-line helpers that all commands share."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence


class Parser(argparse.ArgumentParser):
    """A parser whose help is a docstring as it is written, and which knows names of old.

    Args:
      doc: Shown by --help.
      module: The command, for ``python3 -m``; default: what argparse finds out.

    Example:
      >>> parser = Parser("Decodes.", "decode")
      >>> _ = parser.add_argument("--subnets", nargs="+")
      >>> parser.add_old_spelling("--levels", "--subnets")
      >>> parser.parse_args(["--levels", "0", "0.9"]).subnets
      ['0', '0.9']
    """

    def __init__(self, doc: str | None, module: str | None = None) -> None:
        super().__init__(
            prog=f"python3 -m {module}" if module else None,
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._spellings: dict[str, str] = {}

    def add_old_spelling(self, old: str, new: str) -> None:
        """Take an option under its old name, too, which --help does not show."""
        self._spellings[old] = new

    def parse_known_args(self, args: Sequence[str] | None = None, namespace=None):
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._today(word) for word in words], namespace)

    def _today(self, word: str) -> str:
        name, equals, value = word.partition("=")
        new = self._spellings.get(name)
        if new is None:
            return word
        print(f"note: {name} is now called {new}", file=sys.stderr)
        return new + equals + value


def start_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def str2bool(word: str) -> bool:
    """true/false as Kaldi-style shell options write them; also yes/no and 1/0."""
    if word.lower() in ("true", "yes", "1"):
        return True
    if word.lower() in ("false", "no", "0"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, got '{word}'")


def positive_int(word: str) -> int:
    try:
        value = int(word)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got '{word}'")
    return value


def positive_float(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got '{word}'")
    return value


def fraction(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got '{word}'")
    return value


def default_jobs() -> int:
    """The processors that this process may use, at most 8."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(8, usable or 1)


def add_data_options(parser: argparse.ArgumentParser, corpus: str | None = None) -> None:
    """--corpus and --data-dir, which nearly every data script has."""
    parser.add_argument(
        "--corpus",
        default=corpus,
        required=corpus is None,
        help="name in conf/corpus or path of a YAML file"
        + (f" (default {corpus})" if corpus else ""),
    )
    parser.add_argument("--data-dir", required=True, help="data folder of this corpus")


def add_bad_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-bad-fraction",
        type=fraction,
        default=0.05,
        help="stop if a larger share of a split has to be left out (default 0.05)",
    )
