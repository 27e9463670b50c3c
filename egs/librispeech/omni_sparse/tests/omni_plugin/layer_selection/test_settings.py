# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from omni_plugin import OmniError
from omni_plugin.layer_selection import LayerSelectionSettings


@pytest.mark.parametrize(
    "sizes, number, counts",
    [([1 / 3, 2 / 3], 12, [4, 8]), ([0.3333, 0.6667], 40, [13, 27]), ([8, 4], 12, [4, 8])],
)
def test_sizes_are_shares_or_numbers(sizes, number, counts):
    assert LayerSelectionSettings(sizes=tuple(sizes)).counts(number) == counts


def test_settings_survive_a_checkpoint():
    settings = LayerSelectionSettings(sizes=(1 / 3, 7), heads=("a", "b"))
    again = LayerSelectionSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings


@pytest.mark.parametrize(
    "data, said",
    [
        ({"size": [4]}, "layers: unknown 'size'; known: selector, sizes"),
        ({"sizes": 4}, "layers.sizes: 4 is not of type"),
        ({"sizes": []}, "layers.sizes is empty"),
        ({"selector": "simple_top_k"}, "layers.selector: 'simple_top_k' is not a name and options"),
        ({"start": 0.7, "end": 0.5}, "layers.start 0.7 and layers.end 0.5: needs 0 <= start"),
        ({"remove": 0}, "layers.remove is 0; it must be >= 1"),
        ({"layer_drop": 1.0}, r"layers.layer_drop is 1.0; it must lie in \[0, 1\)"),
        ({"subnet_weight": -0.3}, "layers.subnet_weight is -0.3; it must be >= 0"),
        ([1], r"layers: expected settings \(key: value\), found \[1\]"),
    ],
)
def test_a_mistake_is_named_in_one_line(data, said):
    with pytest.raises(OmniError, match=said) as e:
        LayerSelectionSettings.from_dict(data)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "sizes, said",
    [
        ((12.0,), "layers.sizes has 12.0; a size is a share of the 12 units or a number of them"),
        ((2.5,), "layers.sizes has 2.5"),
        ((0.01,), "layers.sizes has 0.01"),
        ((4, 1 / 3), "two mean .4, 4. of 12 units"),
    ],
)
def test_sizes_that_the_model_does_not_have_are_refused(sizes, said):
    with pytest.raises(OmniError, match=said):
        LayerSelectionSettings(sizes=sizes).counts(12)
