# SPDX-License-Identifier: Apache-2.0
"""Copies of supernets and of their models, in memory and through files."""

import copy
import io
import pickle

import pytest
import torch

from omni_plugin import OmniError
from tests.support.torch_models import tokens, used


def by_pickle(value):
    return pickle.loads(pickle.dumps(value))


def by_torch_save(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    if torch.__version__ < "2":
        return torch.load(file)
    return torch.load(file, weights_only=False)


WAYS = pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle, by_torch_save])


@WAYS
def test_a_copy_of_the_supernet_runs_alike(copied):
    supernet = used()
    other = copied(supernet)
    assert other.get_active_subnet() == supernet.get_active_subnet()
    assert torch.equal(other(tokens()), supernet(tokens()))
    other.set_active_subnet(0.7)
    supernet.set_active_subnet(0.7)
    with torch.no_grad():
        assert torch.equal(other(tokens()), supernet(tokens()))


@WAYS
def test_no_copy_is_made_of_masked_weights_in_place_of_dense_ones(copied):
    supernet = used()
    with torch.no_grad(), supernet.masked():
        with pytest.raises(OmniError, match="cannot be copied while masked"):
            copied(supernet)


@WAYS
def test_a_copy_of_the_supernet_is_independent(copied):
    supernet = used()
    expected = supernet(tokens()).detach()
    other = copied(supernet)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.neg_().add_(1.0)
    other.refresh_ranks()
    other.set_active_subnet(0.9)
    other(tokens()).sum().backward()
    assert torch.equal(supernet(tokens()), expected)
    with torch.no_grad():
        assert torch.equal(supernet(tokens()), expected)
    assert other.get_active_subnet().name == "0.90"
    # The copy's masks act on the copy's weights.
    assert torch.equal(other(tokens()), other.baked_model()(tokens()))


@WAYS
def test_a_copy_of_the_model_is_a_plain_dense_model(copied):
    supernet = used()
    other = copied(supernet.model)
    supernet.set_active_subnet("dense")
    assert torch.equal(other(tokens()), supernet(tokens()))
    with torch.no_grad():
        other.linear.weight.zero_()
    assert supernet.model.linear.weight.any()
