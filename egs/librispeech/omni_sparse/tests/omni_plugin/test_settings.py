# SPDX-License-Identifier: Apache-2.0
"""Settings as a configuration file gives them and as a checkpoint holds them."""

import json
from dataclasses import fields, replace

import pytest

from omni_plugin import DistillationSettings, OmniError, SparsitySettings
from omni_plugin.layer_selection import LayerSelectionSettings
from omni_plugin.search import SearchSettings

#: Every kind of value, none of them a default.
OTHERS = {
    "pattern": "1x4",
    "score": "l2",
    "include": ["encoder", "joiner"],
    "exclude": ["bias"],
    "max_sparsity": 0.8,
    "levels": [0.5, 0.7],
    "layer_spread": 0.1,
    "max_layer_sparsity": 0.95,
    "sampler": {"name": "sandwich", "random": 2},
    "ramp": {"name": "linear", "start": 0.0, "end": 1.0},
    "grow_from": 0.3,
    "grow_until": 0.4,
    "shrink": 0.5,
    "refresh_every": 7,
    "freeze_from": 1,
    "distillation": {"kind": "alpha", "weight": 2, "start": 0.5, "teacher_dropout": False},
    "adaptive_dropout": False,
    "valid_levels": [0.25],
}


def test_nothing_said_is_the_default():
    for nothing in (None, {}):
        assert SparsitySettings.from_dict(nothing) == SparsitySettings()


def test_every_setting_can_be_said():
    settings = SparsitySettings.from_dict(OTHERS)
    default = SparsitySettings()
    for name in (f.name for f in fields(SparsitySettings)):
        assert getattr(settings, name) != getattr(default, name), name
    assert settings.levels == (0.5, 0.7)
    assert settings.distillation == DistillationSettings("alpha", 2, 0.5, False)


@pytest.mark.parametrize("data", [{}, OTHERS], ids=["default", "others"])
def test_a_checkpoint_gives_the_same_settings_back(data):
    settings = SparsitySettings.from_dict(data)
    stored = json.loads(json.dumps(settings.to_dict()))
    assert SparsitySettings.from_dict(stored) == settings
    assert stored == settings.to_dict()
    assert set(stored) == {f.name for f in fields(SparsitySettings)}


WRONG = {
    "an unknown key": ({"sparsness": 0.9}, "settings: unknown 'sparsness'; known: pattern,"),
    "an unknown key within": (
        {"distillation": {"kid": "kl"}},
        "settings.distillation: unknown 'kid'; known: kind,",
    ),
    "text for a number": ({"max_sparsity": "0.9"}, "settings.max_sparsity: '0.9' is not of type"),
    "a truth for a number": ({"layer_spread": True}, "settings.layer_spread: True is not of type"),
    "a share for a count": ({"refresh_every": 0.5}, "settings.refresh_every: 0.5 is not of type"),
    "a number for a truth": ({"adaptive_dropout": 1}, "settings.adaptive_dropout: 1 is not of"),
    "one rule for a list": ({"include": "encoder"}, "settings.include: 'encoder' is not of type"),
    "one number for a list": ({"levels": 0.5}, "settings.levels: 0.5 is not of type tuple"),
    "text among numbers": ({"levels": [0.5, "a"]}, r"settings.levels: \[0.5, 'a'\] is not of"),
    "a word for a sampler": ({"sampler": "single"}, "settings.sampler: 'single' is not a name and"),
    "a ramp without name": (
        {"ramp": {"start": 0.1}},
        "settings.ramp: .* is not a name and",
    ),
    "a word for distillation": ({"distillation": "kl"}, "settings.distillation: 'kl' is not"),
    "a list for all": ([1], r"settings: expected settings \(key: value\), found \[1\]"),
    "no update": ({"refresh_every": 0}, "refresh_every is 0; it must be >= 1"),
    "a share above 1": ({"freeze_from": 1.5}, r"freeze_from is 1.5; it must lie in \[0, 1\]"),
    "not a number": ({"freeze_from": float("nan")}, r"freeze_from is nan; it must lie in \[0, 1\]"),
    "an unknown divergence": (
        {"distillation": {"kind": "js"}},
        "distillation.kind is 'js'; known: kl, label-blank, alpha",
    ),
    "a negative weight": (
        {"distillation": {"weight": -1}},
        "distillation.weight is -1; it must",
    ),
    "a pattern and a level": (
        {"pattern": "2:4", "max_sparsity": 0.7},
        "settings: max_sparsity: sparsity 0.7 is more than pattern 2:4 allows, 0.5",
    ),
    "a valid level that the pattern cannot have": (
        {"pattern": "2:4", "max_sparsity": 0.5, "valid_levels": [0.9]},
        "settings: valid_levels: sparsity 0.9 is more than pattern 2:4 allows, 0.5",
    ),
    "a pattern": ({"pattern": "8by1"}, "pattern '8by1' is unknown; write"),
    "a score": ({"score": "l3"}, "score 'l3' is unknown; known: l1, l2"),
    "a level of 1": ({"valid_levels": [1.0]}, r"1.0; it must lie in \[0, 1\)"),
    "a level below 0": ({"levels": [-0.1]}, r"levels is -0.1; it must lie in \[0, 1\)"),
    "a growth's end": ({"grow_until": 1.5}, r"settings.grow_until is 1.5; it must"),
    "a ramp's option": ({"ramp": {"name": "cubic", "top": 1}}, "settings: ramp: unknown 'top'"),
    "a rule that is none": ({"include": ["("]}, r"settings.include: '\(' is not a regular expr"),
    "more than all": (
        {"max_sparsity": 1.5},
        r"settings: max_sparsity is 1.5; it must lie in",
    ),
    "a level above the highest": ({"levels": [0.95]}, "levels has 0.95, above max_sparsity 0.9"),
    "an unknown sampler": ({"sampler": {"name": "double"}}, "sampler 'double' is unknown; known"),
    "a sampler's unknown option": (
        {"sampler": {"name": "single", "parts": 2}},
        "SingleSampler has no option 'parts'",
    ),
    "a list for a name": ({"sampler": {"name": ["single"]}}, r"sampler \['single'\] is unknown"),
    "a share that is none": (
        {"sampler": {"name": "single", "dense_share": float("nan")}},
        "settings.sampler: dense_share nan and sparsest_share 0.2 must be shares",
    ),
    "growth backwards": ({"grow_from": 0.6, "grow_until": 0.3}, "grow_until 0.3 is below"),
    "a truth for a share": ({"ramp": {"name": "cubic", "start": True}}, "ramp from True to 1.0"),
    "an infinite weight": ({"distillation": {"weight": float("inf")}}, "weight is inf"),
    "an unknown ramp": ({"ramp": {"name": "steep"}}, "ramp 'steep' is unknown; known: cubic"),
    "a ramp that ends early": (
        {"ramp": {"name": "cubic", "start": 0.5, "end": 0.1}},
        "ramp from 0.5 to 0.1: needs 0 <= start <= end <= 1",
    ),
    "distillation without a teacher": (
        {"distillation": {"kind": "kl"}, "sampler": {"name": "split"}},
        "with the sampler split no pass of the full network comes before the others",
    ),
    "a late start": ({"distillation": {"start": 2}}, "distillation.start is 2; it must lie in"),
}


@pytest.mark.parametrize("data, said", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(data, said):
    with pytest.raises(OmniError, match=said) as e:
        SparsitySettings.from_dict(data, "settings")
    assert "\n" not in str(e.value)


#: As :data:`WRONG`, written in Python, where a YAML file's reader is not in between.
IN_PYTHON = {
    "a rule for a list": (
        {"include": "^encoder"},
        r"'\^encoder' .* write \['\^encoder'\]",
    ),
    "a level for a list": ({"levels": 0.5}, r"sparsity.levels: 0.5 is not .* write \[0.5\]"),
    "a sampler's name": ({"sampler": "sandwich"}, "write sampler: {name: sandwich}"),
    "a ramp's name": ({"ramp": "cubic"}, "write ramp: {name: cubic}"),
    "a text": ({"max_sparsity": "0.9"}, "sparsity.max_sparsity: '0.9' is not of type float"),
    "too sparse": ({"max_sparsity": 1.5}, r"max_sparsity is 1.5; it must lie in \[0, 1\)"),
    "another's settings": ({"distillation": object()}, "sparsity.distillation: .* is not of type"),
}


@pytest.mark.parametrize("changes, said", IN_PYTHON.values(), ids=IN_PYTHON)
def test_what_is_wrong_is_said_at_construction(changes, said):
    with pytest.raises(OmniError, match=said) as e:
        SparsitySettings(**changes)
    assert "\n" not in str(e.value)


def test_lists_become_tuples_at_construction():
    assert SparsitySettings(levels=[0.5, 0.7]).levels == (0.5, 0.7)


def test_distillation_may_be_a_mapping():
    settings = SparsitySettings(sampler={"name": "sandwich"}, distillation={"kind": "alpha"})
    assert settings.distillation == DistillationSettings("alpha")


def test_by_default_no_level_above_the_highest_is_validated():
    assert SparsitySettings().sizes() == [0.0, 0.5, 0.7, 0.8, 0.9]
    small = replace(SparsitySettings(), pattern="2:4", max_sparsity=0.5)
    assert small.sizes() == [0.0, 0.5]


def test_the_extremes_are_always_validated():
    assert SparsitySettings(valid_levels=[0.3]).sizes() == [0.0, 0.3, 0.9]


@pytest.mark.parametrize(
    "kind, field", [(LayerSelectionSettings, "heads"), (SearchSettings, "seed")]
)
def test_other_settings_are_checked_at_construction_too(kind, field):
    with pytest.raises(OmniError, match=f"{field}: 'joiner' is not of type"):
        kind(**{field: "joiner"})


LAYERS = {
    "an unknown selector": ({"selector": {"name": "nope"}}, "layers.selector: selector 'nope' is"),
    "a selector's option": (
        {"selector": {"name": "iterative_zero_out", "penalty_weight": -1.0}},
        "layers.selector: penalty_weight is -1.0; it must be >= 0",
    ),
    "a rule that is none": ({"heads": ["("]}, r"layers.heads: '\(' is not a regular expression"),
    "a size that is none": ({"sizes": [float("nan")]}, r"layers.sizes is \[nan\]; all must be"),
    "an infinite rate": ({"score_lr": float("inf")}, "layers.score_lr is inf; it must be >= 0"),
}


@pytest.mark.parametrize("changes, said", LAYERS.values(), ids=LAYERS)
def test_what_is_wrong_with_layers_is_said_at_construction(changes, said):
    with pytest.raises(OmniError, match=said):
        LayerSelectionSettings(**changes)
