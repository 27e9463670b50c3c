# SPDX-License-Identifier: Apache-2.0
"""Muon's update against singular value decompositions, and AdamW beside it."""

import copy

import pytest
import torch
from torch import nn

from emformer.config import ModelConfig, TrainingConfig
from emformer.model import make_model
from emformer.training.muon import MuonAdamW, orthogonalized
from emformer.training.schedule import make_optimizer


def groups_of(model: nn.Module, muon: bool = True) -> list[dict]:
    """The first layer's matrix for Muon, all else for AdamW."""
    matrix, *others = model.parameters()
    return [
        {"params": others, "weight_decay": 0.0},
        {"params": [matrix], "weight_decay": 0.1, "muon": muon},
    ]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    optimizer.zero_grad()
    model(torch.randn(7, 6)).square().sum().backward()
    optimizer.step()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 3))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 30)])
def test_orthogonalized_matrices_have_singular_values_near_1(shape):
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonalized(torch.randn(shape)))
    assert values.min() > 0.6 and values.max() < 1.3


def test_orthogonalized_matrices_keep_their_singular_vectors():
    torch.manual_seed(2)
    matrix = torch.randn(5, 20)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.t() @ orthogonalized(matrix[None])[0] @ vh.t()
    assert (inner - torch.diag(inner.diag())).abs().max() < 1e-4


def test_a_matrix_without_gradient_is_not_moved_by_it():
    assert torch.equal(orthogonalized(torch.zeros(1, 4, 6)), torch.zeros(1, 4, 6))


def test_a_step_has_the_size_of_the_learning_rate(model):
    before = model[0].weight.detach().clone()
    optimizer = MuonAdamW(groups_of(model), lr=0.01)
    optimizer.param_groups[1]["weight_decay"] = 0.0
    step(model, optimizer, 3)
    rms = (model[0].weight.detach() - before).square().mean().sqrt()
    assert 0.8 * 0.002 < rms < 1.2 * 0.002


def test_a_masked_matrix_steps_as_far_as_a_whole_one():
    torch.manual_seed(8)
    weight = nn.Parameter(torch.zeros(16, 40))
    mask = torch.rand(16, 40) < 0.1
    weight.grad = torch.randn(16, 40) * mask
    MuonAdamW([{"params": [weight], "muon": True}], lr=0.01).step()
    torch.testing.assert_close(
        weight.detach()[mask].square().mean().sqrt(), torch.tensor(0.2 * 0.01)
    )


def test_a_matrix_without_gradient_goes_on_along_its_momentum_no_faster():
    torch.manual_seed(9)
    weight = nn.Parameter(torch.zeros(16, 40))
    optimizer = MuonAdamW([{"params": [weight], "muon": True}], lr=0.01)
    weight.grad = torch.randn(16, 40)
    optimizer.step()
    before = weight.detach().clone()
    weight.grad = torch.zeros(16, 40)
    optimizer.step()
    rms = (weight.detach() - before).square().mean().sqrt()
    torch.testing.assert_close(rms, torch.tensor(0.2 * 0.01))


def test_a_step_goes_along_the_momentum_with_nesterovs_look_ahead(model):
    optimizer = MuonAdamW(groups_of(model), lr=0.0)
    step(model, optimizer, 4)
    first = model[0].weight.grad.clone()
    step(model, optimizer, 5)
    second = model[0].weight.grad.clone()
    optimizer.param_groups[1].update(lr=0.01, weight_decay=0.0)
    before = model[0].weight.detach().clone()
    step(model, optimizer, 6)
    third = model[0].weight.grad
    moment = third + 0.95 * (second + 0.95 * first)
    u, _, vh = torch.linalg.svd(third + 0.95 * moment, full_matrices=False)
    moved = before - model[0].weight.detach()
    cosine = (moved * (u @ vh)).sum() / moved.norm() / (u @ vh).norm()
    assert cosine > 0.97


def test_a_transposed_matrix_gets_the_transposed_step():
    torch.manual_seed(7)
    tall = nn.Parameter(torch.randn(9, 4))
    wide = nn.Parameter(tall.detach().t().clone())
    tall.grad = torch.randn(9, 4)
    wide.grad = tall.grad.t().clone()
    MuonAdamW([{"params": [tall, wide], "muon": True}], lr=0.1).step()
    torch.testing.assert_close(tall.detach(), wide.detach().t())


def test_a_matrix_steps_as_it_would_alone():
    torch.manual_seed(0)
    whole = [nn.Parameter(torch.randn(shape)) for shape in [(12, 8), (8, 12), (8, 12), (12, 12)]]
    alone = copy.deepcopy(whole)
    optimizers = [MuonAdamW([{"params": whole, "weight_decay": 0.1, "muon": True}], lr=0.01)]
    for matrix in alone:
        groups = [{"params": [matrix], "weight_decay": 0.1, "muon": True}]
        optimizers.append(MuonAdamW(groups, lr=0.01))
    for _ in range(3):
        for one, other in zip(whole, alone, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(whole, alone, strict=True):
        torch.testing.assert_close(one, other)


def test_weight_decay_is_decoupled(model):
    """Where the gradient is zero, a step is the decay alone."""
    before = model[0].weight.detach().clone()
    model[0].weight.grad = torch.zeros_like(before)
    MuonAdamW(groups_of(model), lr=0.01).step()
    torch.testing.assert_close(model[0].weight.detach(), before * (1 - 0.01 * 0.1))


def test_other_groups_are_left_to_adamw(model):
    other = copy.deepcopy(model)
    muon = MuonAdamW(groups_of(model), lr=0.01)
    adamw = torch.optim.AdamW(groups_of(other, muon=False), lr=0.01, betas=(0.9, 0.98))
    for number in range(3):
        with torch.no_grad():  # what the others' gradients depend on
            model[0].weight.copy_(other[0].weight)
        step(model, muon, number)
        step(other, adamw, number)
    for ours, theirs in list(zip(model.parameters(), other.parameters(), strict=True))[1:]:
        assert torch.equal(ours, theirs)


def test_parameters_without_gradient_are_left_alone(model):
    before = model[0].weight.detach().clone()
    MuonAdamW(groups_of(model), lr=0.01).step()
    assert torch.equal(model[0].weight, before)


def test_it_goes_on_from_a_saved_state(model):
    other = copy.deepcopy(model)
    one, two = MuonAdamW(groups_of(model), lr=0.01), MuonAdamW(groups_of(other), lr=0.01)
    for number in range(2):
        step(model, one, number)
        step(other, two, number)
    again = MuonAdamW(groups_of(other), lr=0.5)
    again.load_state_dict(two.state_dict())
    step(model, one, 2)
    step(other, again, 2)
    assert torch.equal(model[0].weight, other[0].weight)


def test_the_momentum_is_the_configurations():
    model = make_model(ModelConfig(encoder_dim=8, num_heads=2, ffn_dim=16, num_layers=1), 10)
    optimizer = make_optimizer(model, TrainingConfig(optimizer="muon", muon_momentum=0.5))
    matrix = model.encoder.emformer.emformer_layers[0].attention.out_proj.weight
    for _ in range(2):
        matrix.grad = torch.ones_like(matrix)
        optimizer.step()
    torch.testing.assert_close(optimizer.state[matrix]["momentum"], torch.full((8, 8), 1.5))
