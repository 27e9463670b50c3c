# SPDX-License-Identifier: Apache-2.0
"""Small models whose modules read their weights in all the ways that recipes do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni_plugin.supernet import SuperNet


class Product(torch.autograd.Function):
    """``x w^T`` with a backward of its own, which keeps the weight it was given."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return grad @ weight, grad.flatten(0, -2).t() @ x.flatten(0, -2)


class FunctionLinear(nn.Module):
    """As icefall's ActivationDropoutAndLinear: a custom autograd function on ``self.weight``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return Product.apply(x, self.weight)


class ScaledLinear(nn.Linear):
    """As icefall's module of this name: another forward, and a method that others may call."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.weight_scale = nn.Parameter(torch.tensor(0.3))

    def get_weight(self) -> Tensor:
        return self.weight * self.weight_scale.exp()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.get_weight(), self.bias)


class Reader(nn.Module):
    """Reads its children's weights and never calls them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_proj = ScaledLinear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.in_proj.get_weight(), self.in_proj.bias)
        return F.linear(x.relu(), self.out_proj.weight, self.out_proj.bias)


class Mixed(nn.Module):
    """Every kind of matrix once, and things that are no matrix; ``(N, T)`` to ``(N, T, 16)``."""

    #: All that a supernet covers by default, with the numbers of weights.
    matrices = {
        "linear.weight": 16 * 16,
        "function.weight": 16 * 16,
        "scaled.weight": 16 * 16,
        "reader.in_proj.weight": 16 * 16,
        "reader.out_proj.weight": 16 * 16,
        "conv1d.weight": 16 * 16,
        "conv2d.weight": 16 * 16,
        "last.weight": 24 * 16,
    }

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, 16)
        self.linear = nn.Linear(16, 16)
        self.function = FunctionLinear(16, 16)
        self.scaled = ScaledLinear(16, 16)
        self.reader = Reader(16)
        self.conv1d = nn.Conv1d(16, 16, 1)
        self.conv2d = nn.Conv2d(16, 16, 1)
        self.wide = nn.Conv1d(16, 16, 3, padding=1)
        self.norm = nn.LayerNorm(16)
        self.last = nn.Linear(16, 24)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x)
        x = x + self.linear(x).relu()
        x = x + self.function(x)
        x = x + self.scaled(x)
        x = x + self.reader(x)
        x = x + self.conv1d(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.conv2d(x.transpose(1, 2).unsqueeze(3)).squeeze(3).transpose(1, 2)
        x = x + self.wide(x.transpose(1, 2)).transpose(1, 2)
        return self.last(self.norm(x))


class Tied(nn.Module):
    """One weight under two names, each read by a module of its own kind."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(16, 16)
        self.other = FunctionLinear(16, 16)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x).relu())


def mixed() -> Mixed:
    """The same model every time."""
    torch.manual_seed(0)
    return Mixed()


def tokens(seed: int = 0) -> Tensor:
    """Input of :class:`Mixed`, of shape ``(2, 7)``."""
    return torch.randint(32, (2, 7), generator=torch.Generator().manual_seed(seed))


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def used(level: float = 0.5) -> SuperNet:
    """A supernet of :class:`Mixed` that was run with and without gradients."""
    supernet = SuperNet(mixed())
    supernet.set_active_subnet(level)
    supernet(tokens()).sum().backward()
    with torch.no_grad():
        supernet(tokens())
    return supernet


def bake_by_hand(model: nn.Module, masks: dict[str, Tensor]) -> None:
    """Write zeros into the weights of a model, each by its name."""
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name)[mask == 0] = 0.0
