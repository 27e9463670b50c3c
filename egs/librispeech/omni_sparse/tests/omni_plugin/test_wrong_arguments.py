# SPDX-License-Identifier: Apache-2.0
"""What the plugin is given by mistake is named in one line, wherever it comes in."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from omni_plugin import OmniError, OmniTraining, SparsitySettings, SuperNet
from omni_plugin.sampling import LevelSpace


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))


def supernet() -> SuperNet:
    return SuperNet(model())


def training(**changes) -> OmniTraining:
    return OmniTraining(model(), **{"settings": SparsitySettings(), "total_updates": 10, **changes})


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "a rule for include": (lambda: SuperNet(model(), include="0"), "include is '0'; it must be a"),
    "a rule for exclude": (lambda: SuperNet(model(), exclude="0"), "exclude is '0'; it must be a"),
    "a number among rules": (lambda: SuperNet(model(), include=[1]), r"include is \[1\]; it must"),
    "a name for a model": (lambda: SuperNet("m"), "model is 'm'; it must be a torch module"),
    "a number for a pattern": (lambda: SuperNet(model(), pattern=8), "pattern 8 is unknown; write"),
    "a number for a rule": (lambda: supernet().subnet({1: 0.5}), "rule 1 is no text"),
    "no rankings": (
        lambda: supernet().set_ranks({"0.weight": None, "1.weight": None}),
        "0.weight: rankings are tensors, not None",
    ),
    "a word for a factor": (lambda: supernet().shrink_pruned(0.5, "x"), "factor is 'x'; it must"),
    "a mapping for settings": (lambda: training(settings={}), "settings are {}; make them with"),
    "a count below 0": (lambda: training(total_updates=-5), "total_updates is -5; it must be a"),
    "no count": (lambda: training(total_updates=float("nan")), "total_updates is nan; it must be"),
    "a state without rankings": (
        lambda: training().load_state_dict({"settings": SparsitySettings().to_dict()}),
        "the checkpoint has no rankings",
    ),
    "a word for a spread": (lambda: LevelSpace(0.9, (), "a"), "layer_spread is a; it must lie in"),
    "a layer without shape": (
        lambda: SuperNet(nn.Sequential(nn.LazyLinear(8))),
        "0.weight has no shape yet; run the model once",
    ),
}


@pytest.mark.parametrize("make, said", WRONG.values(), ids=WRONG)
def test_it_is_named_in_one_line(make, said):
    with pytest.raises(OmniError, match=said) as e:
        make()
    assert "\n" not in str(e.value)


def test_a_transposed_convolution_is_not_covered():
    """Its rows are inputs: groups of its columns would not be those of an output's inputs."""
    net = nn.Sequential(nn.ConvTranspose1d(8, 8, 1), nn.Conv1d(8, 8, 1))
    assert SuperNet(net, "2:4", max_sparsity=0.5).layer_names == ["1.weight"]


def test_running_the_model_in_place_of_the_supernet_is_told_once():
    omni = training()
    x = torch.ones(1, 8)
    with pytest.warns(UserWarning, match="the supernet was not run"):
        with omni.running(omni.passes(0)[0]):
            omni.supernet.model(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with omni.running(omni.passes(1)[0]):
            omni.supernet.model(x)


@pytest.mark.parametrize("update", [0, 9])
def test_running_the_supernet_is_no_matter(update):
    """Dense at first and sparse in the end."""
    omni = training()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in omni.passes(update):
            with omni.running(one):
                omni.supernet(torch.ones(1, 8))
            with omni.running(one), omni.supernet.masked() as model:
                model(torch.ones(1, 8))
