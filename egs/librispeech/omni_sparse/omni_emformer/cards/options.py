# SPDX-License-Identifier: Apache-2.0
"""What only who exports a model can say of it."""

from __future__ import annotations

import argparse


def add_licence_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--licence``, None by default."""
    parser.add_argument(
        "--licence",
        type=one_line,
        metavar="TEXT",
        help="of the model, for its card, such as CC-BY-4.0 (default: the card says unknown)",
    )


def one_line(text: str) -> str:
    """A text that goes into a cell of a table.

    Raises:
      argparse.ArgumentTypeError: It is empty, has several lines, or would end the cell.
    """
    text = text.strip()
    if not text or "|" in text or len(text.splitlines()) > 1:
        raise argparse.ArgumentTypeError(f"must be one line without '|', got {text!r}")
    return text
