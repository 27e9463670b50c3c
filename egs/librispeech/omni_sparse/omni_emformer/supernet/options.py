# SPDX-License-Identifier: Apache-2.0
"""Which experiment's sub-networks, and which of them, as command lines say it."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni_emformer.supernet.layer_subnets import LayerSubnets
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.supernet.system_file import read_system


def parse_level(text: str) -> float | str:
    """A sparsity, or the name of a sub-network."""
    try:
        return float(text)
    except ValueError:
        return text


def add_system_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--system``, for :func:`open_subnets`."""
    parser.add_argument(
        "--system", type=Path, help="YAML file: how to prune a model that has no supernet"
    )


def add_subnets_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--subnets``: a list of what :func:`parse_level` gives, or None for all."""
    parser.add_argument(
        "--subnets",
        nargs="+",
        type=parse_level,
        metavar="SPARSITY",
        help="or names, such as units-4 or front/3 (default: all levels that were trained)",
    )


def open_subnets(options: argparse.Namespace, system: Path | None = None) -> Subnets:
    """The sub-networks of an experiment, whichever way it was trained.

    Args:
      options: Of decoding, with ``exp_dir``.
      system: How to prune a model that has no supernet.

    Raises:
      RecipeError: There is no such experiment or checkpoint, or the system does not fit it.
    """
    of_layers = "layers" in read_system(options.exp_dir)
    return LayerSubnets(options) if of_layers else Subnets(options, system)
