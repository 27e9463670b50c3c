# SPDX-License-Identifier: Apache-2.0
"""Shapes known without a search, and how the evolution mixes them."""

import itertools

import optuna
import pytest
import torch

from omni_plugin.search import magnitude_chain, space_of
from omni_plugin.search.genes import Genes
from omni_plugin.search.guides import (
    Guide,
    levels_to_try,
    one_at_a_time,
    sensitivity_chain,
)
from omni_plugin.supernet import SuperNet
from tests.support.search_toy import COST, HARM, WEIGHTS, harm, space
from tests.support.torch_models import mixed


def chain(number: int = 9) -> list[tuple[float, ...]]:
    tried = levels_to_try(space(), number)
    vectors = one_at_a_time(space(), tried)
    alone = [(axis, share, harm(v) - 1) for (axis, share), v in zip(tried, vectors, strict=True)]
    return sensitivity_chain(space(), COST, alone)


def test_single_effects_change_one_axis_each():
    tried = levels_to_try(space(), 3)
    assert tried[:4] == [(0, 0.3), (0, 0.6), (0, 0.9), (1, 0.3)]
    for (axis, share), vector in zip(tried, one_at_a_time(space(), tried), strict=True):
        assert [s for s in vector if s] == [share] and vector[axis] == share


def test_a_chain_goes_from_dense_to_sparsest():
    found = chain()
    assert found[0] == space().uniform(0.0) and found[-1] == space().uniform(0.9)
    for before, after in itertools.pairwise(found):
        assert all(a <= b for a, b in zip(before, after, strict=True)) and before != after


def test_of_effects_that_add_up_the_chain_is_the_best_there_is():
    # What a chain is at any weighing of harm against cost: the best of each axis by itself.
    found = chain()
    for price in (0.0005, 0.002, 0.01, 0.05):
        best = tuple(
            min(axis.grid, key=lambda s, n=n: HARM[n] * s**2 - price * WEIGHTS[n] * s)
            for n, axis in enumerate(space().axes)
        )
        assert best in found


def test_what_saves_nothing_is_left_to_the_end():
    free = [(n, 0.9, 1.0) for n in range(len(WEIGHTS))]
    cost = type(COST)("bytes", "", 0, lambda axis, share: 1 - share if axis == 2 else 1.0)
    found = sensitivity_chain(space(), cost, free)
    assert all(not any(v[:2] + v[3:]) for v in found if v[2] < 0.9) and found[1][2] > 0


def test_between_two_vectors_of_a_chain_a_guide_is_between_them():
    guide = Guide(space(), [space().uniform(0.0), space().uniform(0.4), space().uniform(0.9)])
    assert guide.at(0.2) == pytest.approx([0.2] * 6)
    assert guide.at(0.65) == pytest.approx([0.65] * 6)
    assert guide.at(1.5) == pytest.approx([0.9] * 6) and guide.at(-1) == pytest.approx([0.0] * 6)


def test_magnitudes_are_ranked_over_all_weights():
    supernet = SuperNet(mixed(), pattern="8x1")
    with torch.no_grad():
        supernet.model.scaled.weight.mul_(5)
    found = magnitude_chain(space_of(supernet, 0.01), supernet)
    half = min(found, key=lambda v: abs(sum(v) / len(v) - 0.5))
    weights = [supernet.model.get_parameter(name) for name in supernet.layer_names]
    scores = [supernet.pattern.scores(weight).flatten() for weight in weights]
    pruned = sum(round(s * len(one)) for s, one in zip(half, scores, strict=True))
    border = torch.cat(scores).sort().values[pruned]
    expected = [float((one < border).float().mean()) for one in scores]
    assert half == pytest.approx([min(e, 0.9) for e in expected], abs=0.02)
    assert half[supernet.layer_names.index("scaled.weight")] == min(half)


def test_magnitudes_give_every_size():
    supernet = SuperNet(mixed())
    whole = space_of(supernet, 0.05)
    sizes = [whole.size(vector) for vector in magnitude_chain(whole, supernet)]
    assert sizes == sorted(sizes) and sizes[0] == 0 and sizes[-1] == pytest.approx(0.9)
    assert max(b - a for a, b in itertools.pairwise(sizes)) < 0.1


# Genes.

GUIDE = Guide(space(), [(0,) * 6, (0.9, 0, 0, 0, 0, 0), (0.9,) * 6])


def genes() -> Genes:
    return Genes(space(), {"guide": GUIDE}, spread=0.2)


def test_genes_without_offsets_are_uniform():
    assert genes().vector(genes().plain(0.4)) == space().uniform(0.4)


def test_genes_of_a_guide_have_its_shape():
    size = space().size((0.9, 0, 0, 0, 0, 0))
    assert genes().vector(genes().plain(size, "guide")) == (0.9, 0, 0, 0, 0, 0)


def test_genes_mix_a_guides_shape_into_the_uniform_one():
    size = space().size((0.9, 0, 0, 0, 0, 0))
    half = genes().vector({**genes().plain(size), "guide": 0.5})
    assert half == space().near([share / 2 for share in GUIDE.at(size)], size)
    assert 0 < half[1] < half[0] < 0.9


def test_a_seed_comes_out_of_a_trial_as_it_went_in():
    study = optuna.create_study()
    for seed in (genes().plain(0.9), genes().plain(0.0), genes().plain(0.35, "guide")):
        study.enqueue_trial(seed)
        assert genes().suggest(study.ask()) == genes().vector(seed)
