# SPDX-License-Identifier: Apache-2.0
"""The recipe's features of audio that is still coming."""

from __future__ import annotations

import kaldi_native_fbank
import numpy as np
import torch
from torch import Tensor

from emformer.config import FRAME_SHIFT_MS, ModelConfig
from emformer.data.features import HIGH_FREQ, LOW_FREQ, NUM_MEL_BINS, SAMPLE_RATE

_HOP = SAMPLE_RATE * FRAME_SHIFT_MS // 1000  # samples


class LiveFeatures:
    """Log-mel frames of a stream, as soon as their samples are there.

    The definition is that of emformer/data/features.py, which mirrors an utterance's end; a stream
    has no end, and silence that follows counts as what it is.

    >>> features = LiveFeatures()
    >>> features.accept(np.zeros(400, dtype=np.float32)).shape
    torch.Size([1, 80])
    """

    def __init__(self) -> None:
        options = kaldi_native_fbank.FbankOptions()
        options.frame_opts.samp_freq = SAMPLE_RATE
        options.frame_opts.dither = 0.0
        options.frame_opts.snip_edges = False
        options.mel_opts.num_bins = NUM_MEL_BINS
        options.mel_opts.low_freq = LOW_FREQ
        options.mel_opts.high_freq = HIGH_FREQ
        self._fbank = kaldi_native_fbank.OnlineFbank(options)
        self._taken = 0

    def accept(self, samples: np.ndarray) -> Tensor:
        """Samples in [-1, 1] of shape ``(num_samples,)`` to new frames of shape ``(T, 80)``."""
        self._fbank.accept_waveform(SAMPLE_RATE, samples)
        begin, self._taken = self._taken, self._fbank.num_frames_ready
        if begin == self._taken:
            return torch.zeros(0, NUM_MEL_BINS)
        # Copied, since what is popped is freed.
        frames = np.stack([self._fbank.get_frame(i) for i in range(begin, self._taken)])
        self._fbank.pop(self._taken - begin)
        return torch.from_numpy(frames)


def silence_after(num_samples: int, config: ModelConfig) -> np.ndarray:
    """The silence after an utterance which lets all chunks that cover it run, and no more.

    sherpa-onnx runs a chunk once there is a frame more than its window.
    """
    chunk = config.chunk_ms // FRAME_SHIFT_MS
    window = chunk + config.right_context_ms // FRAME_SHIFT_MS
    frames = (num_samples + _HOP // 2) // _HOP
    chunks = max(1, -(-frames // chunk))
    samples = ((chunks - 1) * chunk + window + 1) * _HOP
    return np.zeros(samples - num_samples, dtype=np.float32)


def with_silence(samples: np.ndarray, config: ModelConfig) -> np.ndarray:
    """An utterance and :func:`silence_after`, float32."""
    return np.concatenate([samples, silence_after(len(samples), config)]).astype(np.float32)
