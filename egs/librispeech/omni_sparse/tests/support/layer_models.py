# SPDX-License-Identifier: Apache-2.0
"""Models with residual units, for the tests of layer selection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omni_plugin.layer_selection import LayerSelectionSettings, LayerTraining, find_units

DIM = 6
#: Units of :class:`Stack` by a rule on names.
BRANCH = r"^layers\.\d+\.branch$"


class Counted(nn.Sequential):
    """Counts how often it is computed."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class Residual(nn.Module):
    """Knows nothing of units that may be gone."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = Counted(nn.LayerNorm(DIM), nn.Linear(DIM, DIM), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Optional(Residual):
    """Leaves out a unit that is None."""

    def forward(self, x: Tensor) -> Tensor:
        return x if self.branch is None else super().forward(x)


class Stack(nn.Module):
    """Residual layers and a head, over ``(N, 6)``."""

    def __init__(self, number: int, layer: type[nn.Module] = Residual) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(layer() for _ in range(number)))
        self.head = nn.Linear(DIM, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


def stack(number: int = 6, layer: type[nn.Module] = Residual) -> Stack:
    """The same model every time."""
    torch.manual_seed(0)
    return Stack(number, layer)


def vectors(number: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(number, DIM, generator=torch.Generator().manual_seed(seed))


def training(
    total: int = 100, model: nn.Module | None = None, seed: int = 0, **changes
) -> LayerTraining:
    """A selection among 6 units, to 2 and 4 of them, in updates 20 to 60."""
    model = stack() if model is None else model
    settings = {"sizes": [2, 4], "start": 0.2, "end": 0.6, "layer_drop": 0.3, **changes}
    return LayerTraining(
        model,
        find_units(model, [BRANCH]),
        LayerSelectionSettings.from_dict(settings),
        total,
        seed,
    )
