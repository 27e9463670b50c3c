# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from omni_plugin import OmniError
from omni_plugin.layer_selection import Zeros, find_units
from omni_plugin.layer_selection.units import owner_of, swapped
from tests.support.layer_models import BRANCH, stack, vectors


def test_units_are_found_in_the_models_order():
    model = nn.ModuleDict({"b": nn.Linear(2, 2), "a": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    assert find_units(model, ["a", "b"]) == {"b": ("b",), "a": ("a",)}


@pytest.mark.parametrize(
    "include, said",
    [
        (["conv"], "unit rule 'conv' finds no module; their names are like layers"),
        (["["], r"unit rule '\[' is not a regular expression"),
        ([r"^layers\.0"], "unit layers.0.branch lies within layers.0; let the rules find one"),
    ],
)
def test_a_rule_that_finds_no_units_is_refused(include, said):
    with pytest.raises(OmniError, match=said) as e:
        find_units(stack(), include)
    assert "\n" not in str(e.value)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(OmniError, match="^the model has no module layers.9.branch$"):
        owner_of(stack(), "layers.9.branch")


def test_modules_are_swapped_and_put_back():
    model = stack()
    expected, modules = model(vectors()), dict(model.named_modules())
    with swapped(model, {"layers.1.branch": Zeros(), "head": nn.Identity()}):
        assert model(vectors()).shape == vectors().shape
        assert isinstance(model.layers[1].branch, Zeros)
    assert dict(model.named_modules()) == modules
    assert torch.equal(model(vectors()), expected)


def test_modules_are_put_back_where_the_model_fails():
    model = stack()
    with pytest.raises(RuntimeError), swapped(model, {"layers.0": nn.Identity()}):
        model(torch.zeros(1, 3))
    assert len(find_units(model, [BRANCH])) == 6


def test_nothing_is_swapped_where_a_module_is_missing():
    model = stack()
    head = model.head
    with pytest.raises(OmniError), swapped(model, {"head": None, "tail": None}):
        pass
    assert model.head is head
