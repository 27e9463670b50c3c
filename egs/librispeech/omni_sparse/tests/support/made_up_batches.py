# SPDX-License-Identifier: Apache-2.0
"""Batches of noise, and the tiny model's configuration without chance in its passes."""

from __future__ import annotations

import torch
import yaml

from emformer.config import Config
from emformer.training.loss import Batch
from tests.support.tiny_config import TINY_CONFIG

#: Without dropout.
CONFIG = Config.from_dict(yaml.safe_load(TINY_CONFIG.replace("dropout: 0.1", "dropout: 0.0")))


def make_batch(size: int = 6, seed: int = 0) -> Batch:
    """Utterances of different lengths, the longest in the middle."""
    rng = torch.Generator().manual_seed(seed)
    x_lens = torch.tensor([83, 40, 97, 64, 50, 71, 33][:size])
    y_lens = torch.tensor([5, 3, 7, 4, 1, 6, 2][:size])
    x = torch.randn(size, int(x_lens.max()), 80, generator=rng)
    y = torch.randint(1, 20, (size, int(y_lens.max())), generator=rng)
    for n in range(size):
        x[n, x_lens[n] :], y[n, y_lens[n] :] = 0.0, 0
    return Batch(x, x_lens, y, y_lens)


def pick(batch: Batch, numbers: slice) -> Batch:
    """Some utterances. Without longer ones' padding, which k2's smoothed loss does see."""
    x, x_lens, y, y_lens = (value[numbers] for value in vars(batch).values())
    return Batch(x[:, : max(x_lens)], x_lens, y[:, : max(y_lens)], y_lens)
