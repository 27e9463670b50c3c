# SPDX-License-Identifier: Apache-2.0
"""Fronts in an experiment's folder, and the sub-networks that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from emformer.errors import RecipeError
from omni_plugin import OmniError, SuperNet
from omni_plugin.search import FrontPoint, best_under, named_point, read_front

#: Of the search, within an experiment's folder.
FOLDER = "search"
FRONT, RANDOM_FRONT = "front", "random"
#: Score that decides between sub-networks, see :func:`omni_plugin.search.estimates`.
ESTIMATE = "estimated wer"


def front_path(exp_dir: Path, kind: str, cost: str) -> Path:
    """File of a front.

    Args:
      exp_dir: The experiment's folder.
      kind: :data:`FRONT` or :data:`RANDOM_FRONT`.
      cost: What it is a front of.
    """
    name = kind if cost == "params" else f"{kind}-{cost}"
    return exp_dir / FOLDER / f"{name}.json"


def coverage_of(supernet: SuperNet) -> str:
    """16 hexadecimal digits that change with what any level prunes."""
    digest = hashlib.sha256(supernet.pattern.name.encode())
    for name, ranks in supernet.ranks().items():
        digest.update(name.encode() + ranks.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def find_point(exp_dir: Path, name: str, weights: str) -> FrontPoint:
    """A sub-network by its name, such as ``front/3``.

    Args:
      exp_dir: The experiment's folder.
      name: Of the front's file, and the number.
      weights: Fingerprint of the model.

    Raises:
      RecipeError: There is none, or it was found with other weights.
    """
    points = _read(exp_dir / FOLDER / f"{name.rpartition('/')[0]}.json", weights)
    try:
        return named_point(points, name)
    except OmniError as e:
        raise RecipeError(str(e)) from e


def find_within(exp_dir: Path, budgets: Mapping[str, float], weights: str) -> FrontPoint:
    """The best sub-network of all fronts that costs no more than allowed.

    Args:
      exp_dir: The experiment's folder.
      budgets: Most of each cost, by name.
      weights: Fingerprint of the model.

    Raises:
      RecipeError: There is none; names the closest one.
    """
    paths = sorted((exp_dir / FOLDER).glob(f"{FRONT}*.json"))
    if not paths:
        raise RecipeError(f"{exp_dir}: no front to choose from; search first (run.sh --stage 12)")
    points = [point for path in paths for point in _read(path, weights)]
    try:
        return best_under(points, budgets, ESTIMATE)
    except OmniError as e:
        raise RecipeError(str(e)) from e


def _read(path: Path, weights: str) -> list[FrontPoint]:
    try:
        points, content = read_front(path)
    except OmniError as e:
        raise RecipeError(str(e)) from e
    found = content["made_of"]["weights"]
    if found != weights:
        raise RecipeError(
            f"{path} is of other weights ({found}, not {weights}); decode with the --epoch, --avg "
            "and --use-averaged-model of the search, or search again in another experiment"
        )
    return points
