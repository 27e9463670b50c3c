# SPDX-License-Identifier: Apache-2.0
"""A transducer that says what the features tell it to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from emformer.decoding.model import DecodingInfo
from tests.support.random_weights import CONFIG, TOKENS

FRAME = CONFIG.model.frame_ms / 1000  # seconds


class ScriptedTransducer:
    """Emits at an encoder frame the token whose number stands in its features.

    It counts in its state the chunks since the encoder started.
    """

    def __init__(self) -> None:
        model = CONFIG.model
        self.context_size, self.vocab_size = model.context_size, len(TOKENS)
        self.chunk_frames = model.segment * model.subsampling
        self.window_frames = self.chunk_frames + model.right_context * model.subsampling
        self.ages: list[int] = []

    def encode_chunk(self, x: Tensor, states: list[int] | None) -> tuple[Tensor, list[int]]:
        age = 0 if states is None else states[0]
        self.ages.append(age)
        tokens = x[:, : self.chunk_frames : CONFIG.model.subsampling, 0].long()
        return 10.0 * torch.nn.functional.one_hot(tokens, self.vocab_size).float(), [age + 1]

    def predict(self, y: Tensor) -> Tensor:
        return torch.zeros(len(y), self.vocab_size)

    def join(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        return encoder_out + decoder_out


def scripted_info() -> DecodingInfo:
    """Of :class:`ScriptedTransducer`."""
    return DecodingInfo("none", CONFIG, TOKENS, "none", 0, 0, 0, 0.0, 0.0, "none")


def script(said: Mapping[int, int], num_frames: int) -> Tensor:
    """Features of some encoder frames, at which these tokens are said; of shape ``(T, F)``."""
    tokens = torch.zeros(num_frames)
    for frame, token in said.items():
        tokens[frame] = token
    model = CONFIG.model
    return tokens.repeat_interleave(model.subsampling)[:, None].repeat(1, model.feature_dim)
