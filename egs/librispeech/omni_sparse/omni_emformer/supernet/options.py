# SPDX-License-Identifier: Apache-2.0
"""Which experiment's sub-networks, and which of them, as command lines say it."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

from emformer.errors import RecipeError
from emformer.overrides import Override, add_set_option
from omni_emformer.supernet.calibrated_subnets import CalibratedSubnets
from omni_emformer.supernet.layer_subnets import LayerSubnets
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.supernet.system import load_system
from omni_emformer.supernet.system_file import read_system

_NAME = re.compile(r"dense|units-\d+(_0\.\d+)?|[a-z][a-z-]*/\d+")


def parse_subnet(text: str) -> float | str:
    """A sparsity, or the name of a sub-network.

    Raises:
      argparse.ArgumentTypeError: It is neither.

    >>> parse_subnet("0.5"), parse_subnet("front/3")
    (0.5, 'front/3')
    """
    if _NAME.fullmatch(text):
        return text
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not 0 <= level < 1:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no sparsity in [0, 1), nor a name such as dense, units-4 or front/3"
        )
    return level


def parse_subnets(text: str) -> list[float | str]:
    """Several, with commas or spaces between them.

    Raises:
      argparse.ArgumentTypeError: There is none, or one is none.

    >>> parse_subnets("0, 0.5 units-4")
    [0.0, 0.5, 'units-4']
    """
    found = [parse_subnet(word) for word in text.replace(",", " ").split()]
    if not found:
        raise argparse.ArgumentTypeError("names no sub-network")
    return found


class ListOfLists(argparse.Action):
    """For options of several words, each of which may be several: one flat list."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, [one for several in values for one in several])


def add_system_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--system``, and ``--set`` for its settings, for :func:`open_subnets`."""
    parser.add_argument(
        "--system", type=Path, help="YAML file: how to prune a model that has no supernet"
    )
    add_set_option(
        parser, "in place of what that file says, such as one_shot.pattern=16x1; may be repeated"
    )


def add_subnets_option(
    parser: argparse.ArgumentParser,
    text: str = "or names, such as units-4 or front/3 (default: all levels that were trained)",
) -> None:
    """Adds ``--subnets``: a list of what :func:`parse_subnet` gives, or None for all.

    Args:
      parser: Or a group of its options.
      text: Its help.
    """
    parser.add_argument(
        "--subnets",
        nargs="+",
        type=parse_subnets,
        action=ListOfLists,
        metavar="SPARSITY",
        help=text,
    )


def open_subnets(
    options: argparse.Namespace, system: Path | None = None, overrides: Sequence[Override] = ()
) -> Subnets:
    """The sub-networks of an experiment, whichever way it was trained.

    Args:
      options: Of decoding, with ``exp_dir``.
      system: How to prune a model that has no supernet.
      overrides: In place of what its file says.

    Raises:
      RecipeError: There is no such experiment or checkpoint, or the system does not fit it.
    """
    if overrides and system is None:
        raise RecipeError(f"{overrides[0]}: settings of what --system? What is trained has its own")
    if "layers" in read_system(options.exp_dir):
        return LayerSubnets(options)
    found = None if system is None else load_system(system, overrides)
    if found is not None and found.calibrated is not None:
        return CalibratedSubnets(options, found)
    return Subnets(options, found)
