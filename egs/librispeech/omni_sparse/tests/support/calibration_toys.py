# SPDX-License-Identifier: Apache-2.0
"""Inputs with correlated columns, and a small model that has learnt something."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlated(rows: int, columns: int, seed: int = 0) -> Tensor:
    """Inputs of shape ``(rows, columns)`` in float64, whose means are not zero."""
    own = torch.randn(rows, columns, generator=rng(seed), dtype=torch.float64)
    mixed = torch.randn(columns, columns, generator=rng(seed + 1), dtype=torch.float64)
    return own @ mixed / columns**0.5 + 0.3


def weights(outputs: int, inputs: int, seed: int = 7) -> Tensor:
    return torch.randn(outputs, inputs, generator=rng(seed), dtype=torch.float64)


class Residual(nn.Module):
    """Two residual units with layer norms; ``(N, T, 16)`` to ``(N, T, 16)``."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(2))
        self.ins = nn.ModuleList(nn.Linear(16, 32) for _ in range(2))
        self.outs = nn.ModuleList(nn.Linear(32, 16) for _ in range(2))
        self.last = nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        for norm, first, second in zip(self.norms, self.ins, self.outs, strict=True):
            x = x + second(first(norm(x)).relu())
        return self.last(x)


def batches(count: int = 4, seed: int = 3) -> list[Tensor]:
    """Of shape ``(5, 20, 16)`` each, of correlated channels."""
    rows = correlated(count * 100, 16, seed).float()
    return list(rows.view(count, 5, 20, 16))


def trained() -> Residual:
    """A model that has learnt to tell the next frame of a random walk's mixture, in eval mode."""
    torch.manual_seed(0)
    model, data = Residual(), torch.cat(batches(8))
    goal = torch.tanh(data @ torch.randn(16, 16, generator=rng(5)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.mse_loss(model(data), goal).backward()
        optimizer.step()
    return model.eval()


def calls(data: list[Tensor]) -> list:
    return [lambda model, x=x: model(x) for x in data]


@torch.no_grad()
def output_error(model: nn.Module, whole: nn.Module, data: list[Tensor]) -> float:
    """Mean squared distance of the outputs."""
    x = torch.cat(data)
    return float(F.mse_loss(model(x), whole(x)))
