# SPDX-License-Identifier: Apache-2.0
"""While masked() is open, no way to copy the model gives one that keeps its masks."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from omni_plugin import OmniError, SuperNet

WAYS: dict[str, Callable[[nn.Module], object]] = {
    "copy.deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "torch.save": lambda model: torch.save(model, io.BytesIO()),
    "an average": AveragedModel,
    "copy.copy of a layer": lambda model: copy.copy(model[0]),
}


@pytest.fixture(params=["without gradients", "first pass", "second pass"])
def opened(request):
    """A model within masked(), in each of the ways in which its weights are masked."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    supernet = SuperNet(model)
    supernet.set_active_subnet(0.5)
    if request.param == "second pass":
        supernet(torch.ones(2, 8)).sum().backward()
    with torch.set_grad_enabled(request.param != "without gradients"), supernet.masked():
        yield model


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_refused(opened, way):
    with pytest.raises(OmniError, match="cannot be copied while masked.. is open: the copy would"):
        WAYS[way](opened)


def test_the_state_is_still_that_of_the_dense_weights(opened):
    assert all(int((value == 0).sum()) == 0 for value in opened.state_dict().values())


def test_a_shallow_copy_of_the_container_shares_its_layers(opened):
    assert copy.copy(opened)[0] is opened[0]


@pytest.mark.parametrize("way", WAYS)
def test_afterwards_copies_are_dense(way):
    model = nn.Sequential(nn.Linear(8, 8))
    supernet = SuperNet(model)
    supernet.set_active_subnet(0.5)
    with supernet.masked():
        pass
    WAYS[way](model)
    assert torch.equal(copy.deepcopy(model)[0].weight, model[0].weight)


def test_an_error_within_leaves_the_model_free_to_be_copied():
    model = nn.Sequential(nn.Linear(8, 8))
    supernet = SuperNet(model)
    supernet.set_active_subnet(0.5)
    with pytest.raises(ZeroDivisionError), supernet.masked():
        1 / 0  # noqa: B018
    assert torch.equal(pickle.loads(pickle.dumps(model))[0].weight, model[0].weight)
