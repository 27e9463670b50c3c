# SPDX-License-Identifier: Apache-2.0
"""Levels from error curves: the right total, and no better choice beside it."""

from __future__ import annotations

import itertools

import pytest
import torch

from omni_plugin import OmniError
from omni_plugin.calibration.levels import error_curve, levels_by_curves
from omni_plugin.calibration.moments import Moments
from omni_plugin.patterns import make_pattern
from tests.support.calibration_toys import correlated, weights

CURVES = {
    "easy": {0.3: 0.001, 0.5: 0.004, 0.8: 0.05, 0.95: 0.2},
    "hard": {0.3: 0.02, 0.5: 0.1, 0.8: 0.5, 0.95: 0.9},
    "large": {0.3: 0.005, 0.5: 0.03, 0.8: 0.3, 0.95: 0.7},
}
BLOCKS = {"easy": 100, "hard": 200, "large": 400}


@pytest.mark.parametrize("wanted", [0, 1, 70, 350, 491, 630])
def test_so_many_blocks_are_pruned(wanted):
    levels = levels_by_curves(CURVES, BLOCKS, wanted)
    pruned = {name: levels[name] * BLOCKS[name] for name in BLOCKS}
    assert all(number == pytest.approx(round(number)) for number in pruned.values())
    assert round(sum(pruned.values())) == wanted
    assert max(levels.values()) <= 0.95


def test_no_other_split_has_less_error():
    """Convex curves on a grid of tenths, all splits tried."""
    grid = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    curves = {
        name: {x: scale * x**power for x in grid if x}
        for name, scale, power in (("a", 1.0, 2), ("b", 0.2, 3), ("c", 0.5, 2))
    }
    blocks = dict.fromkeys(curves, 10)

    def error(levels):
        return sum(
            curves[n].get(round(x, 1), 0.0) for n, x in zip(curves, levels, strict=True)
        )  # fmt: skip

    best = min(
        (levels for levels in itertools.product(grid, repeat=3) if abs(sum(levels) - 1.5) < 1e-9),
        key=error,
    )
    found = levels_by_curves(curves, blocks, 15, most=0.9)
    assert error(found.values()) == pytest.approx(error(best), rel=1e-6)


def test_units_are_pruned_whole():
    levels = levels_by_curves(CURVES, BLOCKS, 350, units={"easy": 25, "hard": 50, "large": 100})
    for level in levels.values():
        assert level * 4 == pytest.approx(round(level * 4))
    assert sum(levels[name] * BLOCKS[name] for name in BLOCKS) <= 350


def test_more_than_every_layer_may_lose_is_refused():
    with pytest.raises(OmniError, match="a sparsity of 0.90 is above max_layer_sparsity, 0.8"):
        levels_by_curves(CURVES, BLOCKS, 630, most=0.8)


@pytest.mark.parametrize("name, levels", [("8x1", 6), ("2:4", 2), ("1:4", 3)])
def test_a_curve_rises(name, levels):
    pattern, x, weight = make_pattern(name), correlated(200, 24), weights(16, 24)
    moments = Moments(weight)
    moments.add(x, x)
    curve = error_curve(moments, pattern.rank_weight(weight), pattern, 1e-2)
    errors = [curve[level] for level in sorted(curve)]
    assert len(errors) == levels and errors == sorted(errors)
    assert 0 < errors[0] and errors[-1] < 1
    assert torch.isfinite(torch.tensor(errors)).all()
