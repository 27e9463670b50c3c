# SPDX-License-Identifier: Apache-2.0
"""Front ends: log-mel frames at 100 Hz to encoder frames at 25 Hz."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emformer.config import ModelConfig

# What zero samples give as a log-mel feature: log of the smallest float32 step. Frames beyond the
# end of an utterance are set to it, as if silence followed.
PAD_LOG_MEL = -15.9424

# Log-mel values of speech with samples in [-1, 1] spread around this mean with this deviation. The
# constants only bring the input near zero mean and unit variance: no statistics need to be
# gathered, stored, or folded in at export.
LOG_MEL_MEAN, LOG_MEL_STD = -5.0, 3.5


def normalise(x: Tensor) -> Tensor:
    """Log-mel features to about zero mean and unit variance; any shape."""
    return (x - LOG_MEL_MEAN) / LOG_MEL_STD


def _check_frames(x: Tensor, factor: int, overlap: int) -> None:
    frames = x.size(1) - overlap
    if frames <= 0 or frames % factor:
        raise ValueError(f"expected {factor} * T + {overlap} frames, got {x.size(1)}")


class StackFrontend(nn.Module):
    """Stacks a window of frames at every ``subsampling``-th frame and projects it.

    With a window of ``subsampling`` frames it is the front end of torchaudio's Emformer RNN-T. A
    wider window tells the encoder, which has no positions, in which order neighbouring sounds came.

    N: batch size; T: encoder frames; F: feature dimension; D: encoder dimension.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.factor, self.window = config.subsampling, config.stack_window
        self.overlap = config.frontend_overlap
        self.linear = nn.Linear(config.feature_dim * self.window, config.encoder_dim)
        self.norm = nn.LayerNorm(config.encoder_dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T * factor + overlap, F)`` to ``(N, T, D)``.

        Raises:
          ValueError: No T fits the number of frames.
        """
        _check_frames(x, self.factor, self.overlap)
        windows = normalise(x).unfold(1, self.window, self.factor)  # (N, T, F, window)
        return self.norm(self.linear(windows.transpose(2, 3).flatten(2)))


class ConvFrontend(nn.Module):
    """Three convolutions over time, the mel bins being channels, without padding: 29 frames seen.

    The first two have stride 2. Without padding an output frame depends on its window alone, so
    chunks need no state here.

    N: batch size; T: encoder frames; F: feature dimension; D: encoder dimension.
    """

    _KERNEL, _STRIDES = 5, (2, 2, 1)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.factor, self.overlap = config.subsampling, config.frontend_overlap
        layers, dim = [], config.feature_dim
        for stride in self._STRIDES:
            layers += [nn.Conv1d(dim, config.encoder_dim, self._KERNEL, stride), nn.ReLU()]
            dim = config.encoder_dim
        self.conv = nn.Sequential(*layers)
        self.linear = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T * factor + overlap, F)`` to ``(N, T, D)``.

        Raises:
          ValueError: No T fits the number of frames.
        """
        _check_frames(x, self.factor, self.overlap)
        x = self.conv(normalise(x).transpose(1, 2))
        return self.norm(self.linear(x.transpose(1, 2)))


def make_frontend(config: ModelConfig) -> StackFrontend | ConvFrontend:
    """The front end that a configuration names."""
    return {"stack": StackFrontend, "conv": ConvFrontend}[config.frontend](config)


def padding_mask(lens: Tensor, x: Tensor) -> Tensor:
    """True after each utterance's end, of shape ``(N, T)``, where ``x`` is.

    It is made where the lengths are, so that lengths on the host wait for no GPU.

    Args:
      lens: Valid frames, of shape ``(N,)``.
      x: Of shape ``(N, T, ...)``.
    """
    frame = torch.arange(x.size(1), device=lens.device)
    return (frame >= lens.unsqueeze(1)).to(x.device, non_blocking=True)


def pad_after_end(x: Tensor, x_lens: Tensor, num_frames: int) -> Tensor:
    """Silence after each utterance's end.

    Args:
      x: Features of shape ``(N, T, F)``.
      x_lens: Valid frames, of shape ``(N,)``.
      num_frames: Frames wanted.

    Returns:
      Features of shape ``(N, num_frames, F)``, :data:`PAD_LOG_MEL` from each utterance's end on.
    """
    x = nn.functional.pad(x, (0, 0, 0, max(0, num_frames - x.size(1))))[:, :num_frames]
    return x.masked_fill(padding_mask(x_lens, x).unsqueeze(2), PAD_LOG_MEL)
