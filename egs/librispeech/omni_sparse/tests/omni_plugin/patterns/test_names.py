# SPDX-License-Identifier: Apache-2.0
"""Names of patterns, and what is refused."""

import math

import pytest
import torch

from omni_plugin.errors import OmniError
from omni_plugin.patterns import check_sparsity, make_pattern


def test_unstructured_is_1x1():
    assert make_pattern("unstructured").name == "1x1"


@pytest.mark.parametrize("name", ["8x1", "1x1", "4x2", "16x1", "2:4", "3:5"])
def test_a_pattern_is_made_from_its_own_name(name):
    assert make_pattern(name).name == name


@pytest.mark.parametrize("name", ["", "8", "8x", "axb", "8x1x1", "2:", "-1x8", None])
def test_an_unknown_pattern_is_refused_by_its_name(name):
    with pytest.raises(OmniError, match="pattern .* is unknown") as error:
        make_pattern(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    "name, said", [("0x1", "0x1"), ("8x0", "8x0"), ("4:4", "4:4"), ("0:4", "0:4"), ("2:300", "300")]
)
def test_an_impossible_pattern_is_refused_with_its_numbers(name, said):
    with pytest.raises(OmniError, match=said):
        make_pattern(name)


def test_an_unknown_score_is_refused():
    with pytest.raises(OmniError, match="'l3' is unknown; known: l1, l2"):
        make_pattern("8x1", "l3")


@pytest.mark.parametrize("name, shape", [("8x1", (7, 64)), ("1x4", (64, 3)), ("2:4", (64, 3))])
def test_a_weight_without_room_for_a_block_is_refused_by_its_name(name, shape):
    with pytest.raises(OmniError) as error:
        make_pattern(name).check(torch.Size(shape), "encoder.out.weight")
    message = str(error.value)
    assert message.startswith(f"encoder.out.weight: a weight of shape {shape}")
    assert name in message and "exclude" in message and "\n" not in message


@pytest.mark.parametrize("level", [-0.1, 1, 1.0, 70, math.nan, math.inf])
def test_a_sparsity_outside_0_to_1_is_refused_with_its_value(level):
    with pytest.raises(OmniError, match=rf"^here is {level}; it must lie in \[0, 1\)$"):
        check_sparsity(level, "here")


@pytest.mark.parametrize("level", [True, "0.5", None, [0.5], torch.zeros(100, 2)], ids=type)
def test_a_sparsity_that_is_no_number_is_refused_in_one_line(level):
    with pytest.raises(OmniError, match="must be a number") as error:
        check_sparsity(level)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_more_zeros_than_n_of_m_allows_are_refused():
    pattern = make_pattern("2:4")
    pattern.check_level(0.5, "w")
    with pytest.raises(OmniError, match="^w: sparsity 0.7 is more than pattern 2:4 allows, 0.5"):
        pattern.check_level(0.7, "w")
