# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that were never trained but say something, for the tests of what decodes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from emformer.config import Config, ModelConfig, TrainingConfig
from emformer.experiment.averaging import RunningAverage
from emformer.model import make_model
from emformer.training.trainer import Trainer

TOKENS = ["<blk>", "<sos/eos>", "<unk>", "\u2581ONE", "\u2581TWO", "\u2581T", "HREE", "\u2581FOUR"]
CONFIG = Config(
    ModelConfig(
        encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=2, segment=4, right_context=1,
        left_context=8, decoder_dim=16, joiner_dim=16,
    ),
    TrainingConfig(),
)  # fmt: skip


def random_model(seed: int = 0, tokens: list[str] = TOKENS) -> nn.Module:
    """A model of :data:`CONFIG` whose outputs are far apart."""
    torch.manual_seed(seed)
    model = make_model(CONFIG.model, len(tokens))
    with torch.no_grad():
        model.joiner.output_linear.weight.normal_()
    return model


def checkpoint_of(
    model: nn.Module, average: RunningAverage, tokens: list[str] = TOKENS, **more
) -> dict[str, Any]:
    """All that decoding reads of a checkpoint; ``more`` are further values, or others."""
    state = {
        "model": model.state_dict(),
        "model_avg": average.state_dict(),
        "config": CONFIG.to_dict(),
        "tokens": tokens,
        "vocab_size": len(tokens),
        "corpus": "tiny",
        "seed": 3,
        "train_updates": 10,
        "train_passes": 10,
        "train_seconds": 1.5,
    }
    return {**state, **more}


def save_talkative(run: Trainer) -> None:
    """Write epoch-1.pt of a trainer's model, which was not trained, but says something."""
    torch.manual_seed(0)
    with torch.no_grad():
        run.model.joiner.output_linear.weight.normal_()
        run.model.joiner.output_linear.bias[0] = 0.5
    run.average.update(run.model)
    run._save("epoch-1.pt")
