# SPDX-License-Identifier: Apache-2.0
"""Levels of the layers from their error curves, with as many weights in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from omni_plugin.calibration.least_squares import least_squares
from omni_plugin.calibration.moments import Moments
from omni_plugin.errors import OmniError
from omni_plugin.patterns import NMPattern, Pattern

#: Levels at which a layer's error is measured, and its error beside each.
Curve = dict[float, float]
GRID = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95)


def error_curve(moments: Moments, ranks: Tensor, pattern: Pattern, damping: float) -> Curve:
    """Error of a layer's outputs at some levels, least squares made, as a share of their energy."""
    curve, weight = {}, moments.weight
    grid = GRID
    if isinstance(pattern, NMPattern):
        grid = [zeros / pattern.m for zeros in range(1, pattern.m - pattern.n + 1)]
    for level in grid:
        mask = pattern.expand(pattern.keep(ranks, level), weight.shape)
        found = least_squares(moments.gram, moments.target, weight, mask, damping)
        curve[level] = moments.error(found)
    return curve


def levels_by_curves(
    curves: Mapping[str, Curve],
    blocks: Mapping[str, int],
    pruned: int,
    most: float = 0.95,
    units: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """The levels of least total error with so many blocks pruned in all.

    Between the levels of a curve the logarithm of the error is interpolated; below the first it
    grows with the square. The lower convex hull of each curve is cut into pieces, and the pieces
    that cost least a block are pruned, which is the best there is for convex curves.

    Args:
      curves: Of each weight.
      blocks: Blocks of each weight.
      pruned: Blocks to prune.
      most: The highest level of a weight.
      units: Blocks of each weight that can only be pruned together, as the rows of a level of N:M;
        what is left of less than one stays.

    Returns:
      A level for each weight, at which :class:`omni_plugin.patterns.Pattern` prunes whole blocks.

    Raises:
      OmniError: ``most`` does not leave so much to prune.

    >>> curves = {"easy": {0.5: 0.01, 0.9: 0.1}, "hard": {0.5: 0.1, 0.9: 0.9}}
    >>> levels = levels_by_curves(curves, {"easy": 100, "hard": 100}, 100)
    >>> levels["easy"] > 0.5 > levels["hard"], round(sum(levels.values()), 2)
    (True, 1.0)
    """
    units = units or dict.fromkeys(curves, 1)
    wanted = pruned
    if wanted > sum(int(most * number) for number in blocks.values()):
        share = wanted / sum(blocks.values())
        raise OmniError(
            f"levels by curves: a sparsity of {share:.2f} is above max_layer_sparsity, {most}"
        )
    pieces = []
    for name, curve in curves.items():
        points = _hull(_points(curve, most), blocks[name], units[name])
        for (start, low), (end, high) in zip(points, points[1:], strict=False):
            pieces.append(((high - low) / (end - start), name, end - start))
    taken_of = dict.fromkeys(curves, 0)
    for _, name, size in sorted(pieces):
        taken = min(size, wanted) // units[name] * units[name]
        taken_of[name] += taken
        wanted -= taken
    return {name: taken_of[name] / blocks[name] for name in curves}


def _points(curve: Curve, most: float) -> list[tuple[float, float]]:
    """A fine grid of levels and errors up to the highest level."""
    known = sorted((level, max(error, 1e-12)) for level, error in curve.items())
    points = [(0.0, 0.0)]
    for step in range(1, int(most * 100 + 1e-9) + 1):
        level = step / 100
        points.append((level, _error_at(known, level)))
    return points


def _error_at(known: Sequence[tuple[float, float]], level: float) -> float:
    first, error = known[0]
    if level <= first:
        return error * (level / first) ** 2
    if level >= known[-1][0]:  # beyond the last: on in the same direction
        known = [*known, (1.0, max(1.0, known[-1][1]))]
    for (low, a), (high, b) in zip(known, known[1:], strict=False):
        if level <= high:
            share = (level - low) / (high - low)
            return a ** (1 - share) * b**share
    return known[-1][1]


def _hull(points: Sequence[tuple[float, float]], blocks: int, unit: int) -> list[tuple[int, float]]:
    """The lower convex hull of points whose levels are made whole numbers of blocks."""
    counted = {int(level * blocks) // unit * unit: error for level, error in reversed(points)}
    hull: list[tuple[int, float]] = []
    for x, y in sorted(counted.items()):
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2:]
            if (y1 - y0) * (x - x0) <= (y - y0) * (x1 - x0):
                break
            hull.pop()
        hull.append((x, y))
    return hull
