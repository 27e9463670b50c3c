# SPDX-License-Identifier: Apache-2.0
"""Vectors of shares, and what a network of them costs."""

import math
import random

import pytest

from omni_plugin.errors import OmniError
from omni_plugin.search import (
    Axis,
    Cost,
    Space,
    chunk_time,
    multiply_adds,
    remaining_parameters,
    space_of,
    stored_bytes,
)
from omni_plugin.supernet import SuperNet
from tests.support.search_toy import WEIGHTS, space
from tests.support.torch_models import mixed

UNITS = Space([Axis(f"unit {n}", 1, 1.0, 1.0) for n in range(10)])


@pytest.mark.parametrize("size", [0.0, 0.2, 0.55, 0.8, 0.9])
def test_a_vector_of_a_size_has_that_size_but_for_the_grid(size):
    rng = random.Random(0)
    found = space(0.01).near([rng.random() for _ in WEIGHTS], size)
    assert space().size(found) == pytest.approx(size, abs=0.01)


def test_a_vector_of_a_size_keeps_the_differences_of_its_axes():
    assert space().near([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], 0.45) == (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def test_shares_stay_within_their_bounds():
    found = space().near([-5.0, 5.0, 0.5, 0.5, 0.5, 0.5], 0.5)
    assert found[:2] == (0.0, 0.9)
    assert space().on_grid([-1.0, 2.0, 0.44, 0.46, 0.0, 0.0])[:4] == (0.0, 0.9, 0.4, 0.5)


def test_parts_that_are_all_or_nothing_go_in_the_order_of_their_shares():
    shares = [0.5, 0.1, 0.9, 0.3, 0.4, 0.2, 0.6, 0.7, 0.8, 0.0]
    found = UNITS.near(shares, 0.3)
    assert [n for n, share in enumerate(found) if share] == [2, 7, 8]


def test_random_vectors_have_sizes_of_every_order():
    rng = random.Random(0)
    kept = [1 - space().size(space().random(rng, 0.3)) for _ in range(400)]
    middle = math.sqrt(0.1)  # of 0.1 to 1 on a logarithmic scale
    assert 0.4 < sum(k < middle for k in kept) / len(kept) < 0.6
    assert min(kept) < 0.12 and max(kept) > 0.85


def test_a_supernet_has_an_axis_for_each_weight():
    supernet = SuperNet(mixed())
    found = space_of(supernet, step=0.1)
    assert [axis.name for axis in found.axes] == supernet.layer_names
    assert [axis.weights for axis in found.axes] == supernet.layer_sizes
    assert found.uniform_vectors() == [(n / 10,) * len(found) for n in range(10)]


def test_levels_that_the_pattern_does_not_have_are_refused():
    with pytest.raises(OmniError, match="more than pattern 2:4 allows"):
        space_of(SuperNet(mixed(), pattern="2:4", max_sparsity=0.5), 0.1, max_level=0.9)


@pytest.mark.parametrize("step, high", [(0.0, 0.9), (0.95, 0.9), (0.1, 1.0)])
def test_a_grid_that_is_none_is_refused(step, high):
    with pytest.raises(OmniError, match="step|max_level"):
        space_of(SuperNet(mixed()), step, high)


# Costs.

LEVELS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)


def test_remaining_parameters_are_what_is_not_zero():
    supernet = SuperNet(mixed(), pattern="8x1")
    others = sum(p.numel() for p in supernet.model.parameters()) - sum(supernet.layer_sizes)
    with_zeros = supernet.bake(LEVELS)
    zeros = sum(int((with_zeros[name] == 0).sum()) for name in supernet.layer_names)
    total = sum(p.numel() for p in supernet.model.parameters())
    assert remaining_parameters(supernet, others)(LEVELS) == total - zeros


def test_stored_bytes_are_those_of_packed_blocks_or_of_the_dense_matrix():
    supernet = SuperNet(mixed(), pattern="8x1")
    expected = 4 * 1000
    for name, mask in supernet.mask(LEVELS).items():
        blocks = mask.flatten(1).unflatten(0, (-1, 8)).any(1)
        packed = 4 * 8 * int(blocks.sum()) + 2 * int(blocks.sum()) + 2 * len(blocks)
        expected += min(packed, 4 * supernet.model.get_parameter(name).numel())
    assert stored_bytes(supernet, 1000)(LEVELS) == expected


def test_multiply_adds_count_the_weights_that_are_left_as_often_as_they_are_used():
    supernet = SuperNet(mixed(), pattern="8x1")
    left = [int(mask.sum()) for mask in supernet.mask(LEVELS).values()]
    uses = range(1, 9)
    expected = 50 + sum(n * use for n, use in zip(left, uses, strict=True))
    assert multiply_adds(supernet, list(uses), 50)(LEVELS) == expected


def test_a_chunk_takes_the_times_of_its_layers():
    assert chunk_time(lambda number, level: number + level, 2.0)((0.5, 0.0)) == 3.5


def test_what_an_axis_costs_is_asked_once():
    asked = []
    cost = Cost("ms", "ms", 0.0, lambda *what: asked.append(what) or 1.0)
    assert [cost((0.5, 0.1)), cost((0.5, 0.2))] == [2.0, 2.0]
    assert asked == [(0, 0.5), (1, 0.1), (1, 0.2)]
