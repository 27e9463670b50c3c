# SPDX-License-Identifier: Apache-2.0
"""The streaming encoder: a front end and torchaudio's Emformer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from emformer.config import ModelConfig
from emformer.errors import RecipeError
from emformer.frontend import make_frontend, pad_after_end
from emformer.layer import UNIT_MODULES, adapt_emformer, remove_unit


def emformer_class() -> type[nn.Module]:
    """torchaudio's Emformer.

    ``import torchaudio`` fails beside a CPU-only torch where its compiled part wants CUDA
    libraries; ``models/emformer.py`` itself needs only torch and is then loaded by its path.
    """
    try:
        from torchaudio.models import Emformer

        return Emformer
    except (ImportError, OSError):
        package = importlib.util.find_spec("torchaudio")
        if package is None or package.origin is None:
            raise RecipeError("torchaudio is missing; run ./install.sh") from None
    path = Path(package.origin).parent / "models" / "emformer.py"
    spec = importlib.util.spec_from_file_location("torchaudio_emformer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Emformer


# State of each layer, as torchaudio's Emformer.infer keeps it; empty where attention is left out.
States = list[list[Tensor]]


class StreamingEncoder(nn.Module):
    """Front end and Emformer, with simulated and true streaming that agree.

    Both pad an utterance with silence to a whole number of chunks and let the last chunk look
    ahead into silence, so an output frame depends on the same input in both.

    N: batch size; F: feature dimension; D: encoder dimension; S: segment, R: right context
    (encoder frames); T: encoder frames, a multiple of S.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.frontend = make_frontend(config)
        self.emformer = emformer_class()(
            config.encoder_dim,
            config.num_heads,
            config.ffn_dim,
            config.num_layers,
            config.segment,
            dropout=config.dropout,
            activation=config.activation,
            left_context_length=config.left_context,
            right_context_length=config.right_context,
            max_memory_size=0,
        )
        adapt_emformer(self.emformer)
        for name in config.removed_units:
            number, unit = name.split(".")
            remove_unit(self.emformer.emformer_layers[int(number)], unit)
        self.segment = config.segment
        self.right_context = config.right_context
        self.chunk_frames = config.segment * config.subsampling
        self.window_frames = self._input_frames(config.segment, config.subsampling)
        self._subsampling = config.subsampling

    def _input_frames(self, encoder_frames: int, subsampling: int) -> int:
        return (encoder_frames + self.right_context) * subsampling + self.frontend.overlap

    def residual_units(self) -> dict[str, tuple[str, ...]]:
        """Modules of the residual units by the units' names, such as ``0.attention``, in order.

        A unit whose modules are None is left out; the last of them gives what is added.
        """
        return {
            f"{number}.{unit}": tuple(f"emformer.emformer_layers.{number}.{m}" for m in modules)
            for number, layer in enumerate(self.emformer.emformer_layers)
            for unit, modules in UNIT_MODULES.items()
            if getattr(layer, modules[-1]) is not None
        }

    def num_chunks(self, x_lens: Tensor) -> Tensor:
        """Chunks that cover utterances of ``x_lens`` frames (100 Hz); same shape."""
        return torch.div(x_lens + self.chunk_frames - 1, self.chunk_frames, rounding_mode="floor")

    def forward(self, x: Tensor, x_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Simulated streaming: whole utterances, with the chunks' attention masks.

        Args:
          x: Log-mel features of shape ``(N, num_frames, F)``.
          x_lens: Valid frames of each utterance, of shape ``(N,)``; best on the CPU, since the
            host must know them.

        Returns:
          Output of shape ``(N, T, D)`` and lengths of shape ``(N,)``, multiples of S, where
          ``x_lens`` is.
        """
        lens = self.num_chunks(x_lens) * self.segment
        num_frames = int(lens.max())
        x = pad_after_end(x, x_lens, self._input_frames(num_frames, self._subsampling))
        return self.emformer(self.frontend(x), lens)

    def forward_chunk(self, x: Tensor, states: States | None) -> tuple[Tensor, States]:
        """True streaming: one chunk of each stream, and the state it leaves.

        All streams of a call must have the same age, since torchaudio's ``infer`` reads the age
        of the first one only.

        Args:
          x: Features of shape ``(N, window_frames, F)``: a chunk and its look-ahead.
          states: What the previous call returned; None at the start of the streams.

        Returns:
          Output of shape ``(N, S, D)`` and the new states. The states passed in stay as they are.
        """
        x = self.frontend(x)
        lens = torch.full((x.size(0),), x.size(1), device=x.device)
        if states is not None:
            states = [list(layer) for layer in states]  # infer changes the lists it is given
        out, _, states = self.emformer.infer(x, lens, states)
        return out, states
