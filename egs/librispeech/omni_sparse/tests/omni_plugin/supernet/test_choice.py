# SPDX-License-Identifier: Apache-2.0
"""Naming, switching and listing sub-networks, and what is refused."""

import math

import pytest
import torch
from torch import nn

from omni_plugin.errors import OmniError
from omni_plugin.patterns import make_pattern
from omni_plugin.supernet import SubNet, SuperNet
from tests.support.torch_models import Mixed, mixed, tokens, vectors

NAMES = list(Mixed.matrices)


@pytest.fixture(scope="module")
def supernet() -> SuperNet:
    return SuperNet(mixed(), max_sparsity=0.8)


def shares_of_zeros(weights: dict) -> list[float]:
    return [float((weights[name] == 0).float().mean()) for name in NAMES]


def test_a_supernet_starts_dense(supernet):
    first = SuperNet(mixed()).get_active_subnet()
    assert first == SubNet((0.0,) * 8, "dense")
    assert first.is_dense and first.is_uniform


@pytest.mark.parametrize(
    "choice, level, name",
    [
        (0.5, 0.5, "0.50"),
        ("0.5", 0.5, "0.50"),
        (0, 0.0, "0.00"),
        ("dense", 0.0, "dense"),
        ("sparsest", 0.8, "sparsest"),
    ],
)
def test_one_level_for_all(supernet, choice, level, name):
    assert supernet.subnet(choice) == SubNet((level,) * 8, name)


def test_a_level_for_each_weight_in_the_order_of_the_names(supernet):
    levels = [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]
    assert supernet.layer_names == NAMES
    for choice in (levels, tuple(levels), dict(zip(NAMES, levels, strict=True))):
        found = supernet.subnet(choice)
        assert found.levels == tuple(levels) and not found.is_uniform and not found.is_dense
        assert shares_of_zeros(supernet.bake(choice)) == levels


def test_levels_by_rules_the_last_that_is_found_counts_and_none_is_dense(supernet):
    found = supernet.subnet({"reader": 0.5, "out_proj": 0.25, r"^conv\dd": 0.75})
    assert found.levels == (0.0, 0.0, 0.0, 0.5, 0.25, 0.75, 0.75, 0.0)


def test_a_sub_network_is_its_own_choice_and_takes_another_name(supernet):
    found = supernet.subnet(0.5)
    assert supernet.subnet(found) == found
    assert supernet.subnet(found, "half") == SubNet(found.levels, "half")
    assert supernet.subnet([0.5] * 8, "half").name == "half"


@pytest.mark.parametrize("choice", [0.5, "sparsest", [0.1] * 8, {"conv": 0.3}], ids=str)
def test_any_choice_is_activated_and_given_back(choice):
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(choice)
    assert supernet.get_active_subnet() == supernet.subnet(choice)
    assert torch.equal(supernet(tokens()), supernet.baked_model(choice)(tokens()))


@pytest.mark.parametrize("pattern", ["8x1", "1x1", "2:4"])
def test_a_weight_level_vector_runs_as_baked(pattern):
    supernet = SuperNet(mixed(), pattern)
    for shift in range(3):
        supernet.set_active_subnet([(i + shift) % 4 / 8 for i in range(8)])
        assert torch.equal(supernet(tokens()), supernet.baked_model()(tokens()))


def test_zeros_are_counted_exactly(supernet):
    for choice in (0.0, 0.3, "sparsest", {"conv": 0.77}):
        baked = supernet.bake(choice)
        zeros = sum(int((baked[name] == 0).sum()) for name in NAMES)
        assert supernet.num_zeros(choice) == zeros
        assert supernet.sparsity(choice) == zeros / sum(Mixed.matrices.values())


def test_zeros_of_the_active_sub_network_are_the_default():
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(0.25)
    assert supernet.num_zeros() == supernet.num_zeros(0.25) > 0
    assert supernet.sparsity() == 0.25
    assert shares_of_zeros(supernet.bake()) == [0.25] * 8
    assert shares_of_zeros(supernet.mask()) == [0.25] * 8


def test_masks_and_baked_models_leave_the_active_sub_network():
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(0.25)
    expected = supernet(tokens())
    supernet.mask(0.5), supernet.bake(0.5), supernet.baked_model(0.5), supernet.num_zeros(0.5)
    assert supernet.get_active_subnet().name == "0.25"
    assert torch.equal(supernet(tokens()), expected)


@pytest.mark.parametrize("level", [-0.1, 1, 1.0, 1.5, 70, math.nan])
def test_a_sparsity_outside_0_to_1_is_refused_with_its_value(supernet, level):
    for choice in (level, [0.5] * 7 + [level], {"last": level}, SubNet((level,) * 8)):
        with pytest.raises(OmniError, match=rf"sparsity is {level}; it must lie in \[0, 1\)$"):
            supernet.subnet(choice)


def test_a_wrong_level_of_a_vector_is_refused_by_its_weights_name(supernet):
    with pytest.raises(OmniError, match=r"^function\.weight: sparsity is 1\.2"):
        supernet.subnet([0.5, 1.2] + [0.5] * 6)


@pytest.mark.parametrize("word", ["1.0", "-0.5", "nan"])
def test_a_sparsity_in_words_outside_0_to_1_is_refused(supernet, word):
    with pytest.raises(OmniError, match=r"it must lie in \[0, 1\)"):
        supernet.subnet(word)


@pytest.mark.parametrize("count", [0, 1, 7, 9])
def test_a_level_vector_of_the_wrong_length_is_refused_with_both_numbers(supernet, count):
    for choice in ([0.5] * count, SubNet((0.5,) * count)):
        with pytest.raises(OmniError) as error:
            supernet.subnet(choice)
        message = str(error.value)
        assert message.startswith(f"{count} levels for 8 covered weights (linear.weight, ...)")
        assert "\n" not in message


@pytest.mark.parametrize("choice", [torch.full((8,), 0.5), None, True, ["0.5"] * 8], ids=type)
def test_what_names_no_sub_network_is_refused_in_one_line(supernet, choice):
    with pytest.raises(OmniError, match="must be a number") as error:
        supernet.subnet(choice)
    assert "\n" not in str(error.value)


def test_an_unknown_word_is_refused(supernet):
    with pytest.raises(OmniError, match="'small'; say dense, sparsest, or a sparsity"):
        supernet.subnet("small")


def test_a_rule_without_a_match_is_refused_and_shows_names(supernet):
    with pytest.raises(OmniError, match="rule 'decoder' finds none of the 8 .* linear.weight, "):
        supernet.subnet({"reader": 0.5, "decoder": 0.5})


def test_a_rule_that_is_no_regular_expression_is_refused(supernet):
    with pytest.raises(OmniError, match=r"rule '\(' is not a regular expression"):
        supernet.subnet({"(": 0.5})


def test_more_zeros_than_the_pattern_allows_are_refused_by_the_weights_name():
    supernet = SuperNet(mixed(), "2:4")
    with pytest.raises(OmniError, match=r"^linear\.weight: sparsity 0\.75 is more than .* 0\.5$"):
        supernet.set_active_subnet(0.75)


@pytest.mark.parametrize("level", [-0.1, 1.0, "much"])
def test_an_impossible_max_sparsity_is_refused(level):
    with pytest.raises(OmniError, match="^max_sparsity is"):
        SuperNet(mixed(), max_sparsity=level)


def test_a_refused_choice_leaves_the_active_sub_network():
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(0.5)
    expected = supernet(tokens())
    for choice in (1.0, [0.5] * 7, [0.25] * 7 + [1.0], "small", {"decoder": 0.1}):
        with pytest.raises(OmniError):
            supernet.set_active_subnet(choice)
    assert supernet.get_active_subnet().name == "0.50"
    assert torch.equal(supernet(tokens()), expected)


def test_an_unknown_pattern_is_refused():
    with pytest.raises(OmniError, match="pattern '8' is unknown"):
        SuperNet(mixed(), "8")


def test_a_pattern_may_be_an_object():
    model = nn.Linear(16, 16)
    x = vectors(3, 16)
    by_object, by_name = SuperNet(model, make_pattern("4x2", "l2")), SuperNet(model, "4x2")
    assert by_object.pattern.norm == "l2" and by_name.pattern.norm == "l1"
    by_object.set_active_subnet(0.5)
    assert torch.equal(by_object(x), by_object.baked_model()(x))
