# SPDX-License-Identifier: Apache-2.0
"""Closed-form pruning of what icefall's recipes are made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni_plugin import OmniError
from omni_plugin.calibration import Calibration, CalibrationSettings
from omni_plugin.icefall.calibration import encoder_calls
from tests.support.torch_models import ScaledLinear


class ActivationAndLinear(torch.autograd.Function):
    """As zipformer's ActivationDropoutAndLinearFunction."""

    @staticmethod
    @torch.cuda.amp.custom_fwd
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x.relu(), weight, bias)


class OutProjection(nn.Module):
    """As zipformer's ActivationDropoutAndLinear: no nn.Linear, and its input is no matrix's."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return ActivationAndLinear.apply(x, self.weight, self.bias)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.in_proj, self.out_proj = ScaledLinear(16, 32), OutProjection(32, 16)
        self.pointwise_conv = nn.Conv1d(16, 16, 1)

    def forward(self, x: Tensor, x_lens: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self.out_proj(self.in_proj(x))
        return self.pointwise_conv(x.transpose(1, 2)).transpose(1, 2), x_lens


class Stateless(nn.Module):
    """As most recipes' Transducer: the encoder is called."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()


class Asr(Stateless):
    """As zipformer's AsrModel: ``encoder`` wants what ``forward_encoder`` makes."""

    def forward_encoder(self, x: Tensor, x_lens: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(2 * x, x_lens)


def batches(count: int = 3) -> list[dict]:
    torch.manual_seed(1)
    mix = torch.randn(16, 16)
    return [
        {
            "inputs": torch.randn(4, 25, 16) @ mix,
            "supervisions": {"num_frames": torch.full((4,), 25)},
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("kind", [Stateless, Asr])
def test_every_matrix_of_the_encoder_is_solved(kind):
    torch.manual_seed(0)
    model, data = kind().eval(), batches()
    calibration = Calibration(model, encoder_calls(data), CalibrationSettings())
    found = calibration.model(0.5)
    assert set(calibration.errors) == {
        "encoder.in_proj.weight", "encoder.out_proj.weight", "encoder.pointwise_conv.weight",
    }  # fmt: skip
    scale = 2 if kind is Asr else 1
    plain = calibration.supernet.baked_model(0.5)
    with torch.no_grad():
        outputs = [
            torch.cat([m.encoder(scale * b["inputs"], None)[0] for b in data])
            for m in (model, found, plain)
        ]
    whole, ours, masked = outputs
    assert F.mse_loss(ours, whole) < 0.7 * F.mse_loss(masked, whole)


def test_a_model_without_an_encoder_is_refused_in_one_line():
    with pytest.raises(OmniError, match="Linear has neither forward_encoder nor encoder") as e:
        Calibration(nn.Linear(16, 16).eval(), encoder_calls(batches(1)))
    assert "\n" not in str(e.value)
