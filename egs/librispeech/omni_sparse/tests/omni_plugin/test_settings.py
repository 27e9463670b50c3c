# SPDX-License-Identifier: Apache-2.0
"""Settings as a configuration file gives them and as a checkpoint holds them."""

import json
from dataclasses import fields

import pytest

from omni_plugin import DistillationSettings, OmniError, SparsitySettings

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
    "a late start": ({"distillation": {"start": 2}}, "distillation.start is 2; it must lie in"),
}


@pytest.mark.parametrize("data, said", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(data, said):
    with pytest.raises(OmniError, match=said) as e:
        SparsitySettings.from_dict(data, "settings")
    assert "\n" not in str(e.value)
