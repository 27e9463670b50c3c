# SPDX-License-Identifier: Apache-2.0
"""A transducer as a TorchScript file, which needs no code of ours to run."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from emformer.decoding.model import DecodingInfo
from emformer.model import Transducer
from omni_emformer.export.onnx_step import DecoderStep, EncoderStep, JoinerStep

TORCHSCRIPT = "torchscript.pt"


class _Stacked(nn.Module):
    """An :class:`EncoderStep` whose keys and values are one tensor each, over its layers."""

    def __init__(self, step: EncoderStep) -> None:
        super().__init__()
        self.step = step

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, processed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        out, new_keys, new_values, processed = self.step(
            x, keys.unbind(), values.unbind(), processed
        )
        if not new_keys:
            return out, keys, values, processed
        return out, torch.stack(new_keys), torch.stack(new_values), processed


class ScriptTransducer(nn.Module):
    """What is in the file.

    ``encode_chunk(x, states)`` takes features of shape ``(N, window_frames, F)`` and what
    ``initial_states(N)`` or the call before returned; drop ``chunk_frames`` frames after each call.
    ``predict`` and ``join`` are those of :class:`~emformer.model.Transducer`. Streams of a call may
    differ in age.
    """

    def __init__(self, model: Transducer, tokens: list[str]) -> None:
        super().__init__()
        config, step = model.config, EncoderStep(model)
        self.chunk_frames = model.chunk_frames
        self.window_frames = model.window_frames
        self.context_size = model.context_size
        self.tokens = tokens
        self.cache = [step.heads, step.left, step.head_dim]
        self.num_caches = step.num_caches
        x = torch.zeros(2, model.window_frames, config.feature_dim)
        projected = torch.zeros(2, config.joiner_dim)
        self.encoder = torch.jit.trace(_Stacked(step), (x, *self.initial_states(2)))
        histories = torch.zeros(2, config.context_size, dtype=torch.int64)
        self.decoder = torch.jit.trace(DecoderStep(model), histories)
        self.joiner = torch.jit.trace(JoinerStep(model), (projected, projected))

    @torch.jit.export
    def initial_states(self, streams: int) -> list[Tensor]:
        shape = [self.num_caches, streams] + self.cache
        processed = torch.zeros(streams, dtype=torch.int64)
        return [torch.zeros(shape), torch.zeros(shape), processed]

    @torch.jit.export
    def encode_chunk(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        out, keys, values, processed = self.encoder(x, states[0], states[1], states[2])
        return out, [keys, values, processed]

    @torch.jit.export
    def predict(self, y: Tensor) -> Tensor:
        return self.decoder(y)

    @torch.jit.export
    def join(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        return self.joiner(encoder_out, decoder_out)

    def forward(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self.encode_chunk(x, states)


@torch.no_grad()
def write_torchscript(model: Transducer, info: DecodingInfo, folder: Path) -> Path:
    """Write a transducer in eval mode; returns the file."""
    path = folder / TORCHSCRIPT
    with warnings.catch_warnings():
        # Of sizes that become constants, which is meant, and of torch 2, where it is the old way.
        warnings.simplefilter("ignore")
        torch.jit.script(ScriptTransducer(model, list(info.tokens))).save(str(path))
    return path
