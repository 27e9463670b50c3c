# SPDX-License-Identifier: Apache-2.0
"""Draws of a size, and of layers around it."""

import math
import statistics

import pytest

from omni_plugin.errors import OmniError
from omni_plugin.sampling import LevelSpace, Span, generator

FULL = Span(0.0, 0.9)
# Very unequal layers, as many as an encoder has.
WEIGHTS = [16 * (1 + i % 7) ** 3 for i in range(100)]


def mean_level(levels, weights=WEIGHTS) -> float:
    return math.fsum(s * w for s, w in zip(levels, weights, strict=True)) / sum(weights)


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("size", [0.0, 0.001, 0.1, 0.45, 0.85, 0.899, 0.9])
def test_the_layers_mean_over_all_weights_is_the_size(size, spread):
    for seed in range(20):
        levels = LevelSpace(0.9, (), spread).layers(generator(seed, 0), size, WEIGHTS, FULL)
        assert mean_level(levels) == pytest.approx(size, abs=1e-6)


@pytest.mark.parametrize("size", [0.1, 0.2, 0.3, 0.5])
def test_no_layer_is_outside_the_span(size):
    for seed in range(50):
        levels = LevelSpace(0.9, (), 0.8).layers(generator(seed, 0), size, WEIGHTS, Span(0.1, 0.5))
        assert min(levels) >= 0.1 and max(levels) <= 0.5
        assert len(levels) == len(WEIGHTS)


@pytest.mark.parametrize("span", [Span(0.2, 0.9), Span(0.2, 0.6)])
def test_a_single_layer_may_be_sparser_than_the_sparsest_size(span):
    space, found = LevelSpace(0.9, (), 0.2, max_layer_sparsity=0.95), []
    for seed in range(50):
        levels = space.layers(generator(seed, 0), span.sparsest, WEIGHTS, span)
        assert mean_level(levels) == pytest.approx(span.sparsest, abs=1e-6)
        found += levels
    assert span.sparsest + 0.04 < max(found) <= span.sparsest + 0.05 + 1e-9
    assert min(found) >= span.densest


def test_layers_below_the_sizes_are_refused():
    with pytest.raises(OmniError, match="max_layer_sparsity 0.8 is below max_sparsity 0.9"):
        LevelSpace(0.9, max_layer_sparsity=0.8)


def test_one_layer_has_the_size_itself():
    levels = LevelSpace(0.9, (), 0.5).layers(generator(0, 0), 0.3, [64], FULL)
    assert levels == (pytest.approx(0.3, abs=1e-9),)


def test_without_spread_all_layers_have_the_size():
    assert LevelSpace(0.9).layers(generator(0, 0), 0.3, WEIGHTS, FULL) == (0.3,) * 100


def test_layers_lie_around_the_size_as_far_as_the_spread():
    levels = LevelSpace(0.9, (), 0.2).layers(generator(0, 0), 0.45, WEIGHTS, FULL)
    # A uniform distribution of half-width 0.2, moved a little.
    assert statistics.pstdev(levels) == pytest.approx(0.2 / math.sqrt(3), rel=0.2)
    assert max(levels) - min(levels) == pytest.approx(0.4, rel=0.1)


def test_sizes_are_drawn_uniformly_however_many_layers_there_are():
    space, sizes = LevelSpace(0.9, (), 0.3), []
    for update in range(2000):
        rng = generator(0, update)
        size = space.size(rng, FULL)
        sizes.append(mean_level(space.layers(rng, size, WEIGHTS, FULL)))
    # Independent layers would all have nearly the same mean, with a tenth of this deviation.
    assert statistics.mean(sizes) == pytest.approx(0.45, abs=0.02)
    assert statistics.pstdev(sizes) == pytest.approx(0.9 / math.sqrt(12), rel=0.05)
    for low in (0.0, 0.3, 0.6):
        share = sum(low <= size < low + 0.3 for size in sizes) / len(sizes)
        assert share == pytest.approx(1 / 3, abs=0.04)


def test_only_given_levels_are_drawn_all_of_them_alike():
    space = LevelSpace(0.9, (0.5, 0.7, 0.9))
    drawn = [space.size(generator(0, update), FULL) for update in range(3000)]
    assert set(drawn) == {0.5, 0.7, 0.9}
    for level in (0.5, 0.7, 0.9):
        assert drawn.count(level) / 3000 == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize(
    "span, expected",
    [
        ((0.0, 0.9), {0.5, 0.7, 0.9}),
        ((0.0, 0.8), {0.5, 0.7}),
        ((0.5, 0.8), {0.7}),
        ((0.0, 0.5), {0.5}),
        ((0.0, 0.3), {0.3}),
        ((0.55, 0.6), {0.6}),
    ],
)
def test_levels_outside_the_span_are_not_drawn_and_if_none_is_within_its_sparsest(span, expected):
    space = LevelSpace(0.9, (0.0, 0.5, 0.7, 0.9))
    assert {space.size(generator(0, update), Span(*span)) for update in range(200)} == expected


def test_without_given_levels_any_size_within_the_span_is_drawn():
    sizes = [LevelSpace(0.9).size(generator(0, update), Span(0.2, 0.4)) for update in range(500)]
    assert 0.2 <= min(sizes) < 0.21 and 0.39 < max(sizes) <= 0.4
    assert len(set(sizes)) == 500


def test_a_generator_is_a_function_of_its_arguments():
    def numbers(*arguments) -> list[float]:
        rng = generator(*arguments)
        return [rng.random() for _ in range(3)]

    assert numbers(1, 2) == numbers(1, 2)
    others = [(1, 3), (2, 2), (12, 0), (1, 20), (1, 2, 0), (1, 2, 1), (1, 2, "a")]
    found = [tuple(numbers(*arguments)) for arguments in [(1, 2), *others]]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("value", [-0.1, 1.0, "0.9"])
def test_an_impossible_highest_sparsity_is_refused(value):
    with pytest.raises(OmniError, match="^max_sparsity is"):
        LevelSpace(value)


def test_a_level_above_the_highest_is_refused_with_both():
    with pytest.raises(OmniError, match=r"levels has 0\.95, above max_sparsity 0\.9"):
        LevelSpace(0.9, (0.5, 0.95))


def test_an_impossible_level_is_refused():
    with pytest.raises(OmniError, match="levels is -0.5"):
        LevelSpace(0.9, (-0.5,))


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_an_impossible_spread_is_refused(value):
    with pytest.raises(OmniError, match=rf"layer_spread is {value}; it must lie in \[0, 1\]"):
        LevelSpace(0.9, (), value)
