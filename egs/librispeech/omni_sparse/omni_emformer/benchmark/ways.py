# SPDX-License-Identifier: Apache-2.0
"""The ways to run an exported sub-network, each timed chunk by chunk on real speech."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from emformer.data.features import SAMPLE_RATE
from emformer.decoding import options as decode_options
from emformer.decoding.model import DecodingInfo, load_decoding_model
from emformer.decoding.search import make_search
from omni_emformer.export.info import read_info
from omni_emformer.export.onnx_model import load_onnx
from omni_emformer.export.sherpa import make_recognizer
from omni_emformer.live.features import LiveFeatures, with_silence
from omni_emformer.runtime.model import load_packed

_METHOD = "greedy_search"


@dataclasses.dataclass
class Times:
    """Processor time of one thread over some utterances, in seconds.

    Attributes:
      audio: Seconds of sound.
      features: In all.
      chunks: Of each chunk, encoder and search.
      encoders: Of each chunk, the encoder alone; empty where it cannot be told apart.
    """

    audio: float = 0.0
    features: float = 0.0
    chunks: list[float] = dataclasses.field(default_factory=list)
    encoders: list[float] = dataclasses.field(default_factory=list)

    def add(self, other: Times) -> None:
        self.audio += other.audio
        self.features += other.features
        self.chunks += other.chunks
        self.encoders += other.encoders

    @property
    def real_time_factor(self) -> float:
        return (self.features + sum(self.chunks)) / self.audio


class Way(Protocol):
    """What runs a sub-network."""

    def __call__(self, samples: np.ndarray) -> Times:
        """Stream an utterance; a first chunk that is not counted brings caches to what they are
        in a stream."""


class _Ours:
    """Our own search over a model's chunks."""

    def __init__(self, model, info: DecodingInfo) -> None:
        self._model, self._config = model, info.config.model
        self._search = make_search(_METHOD, model)

    @torch.no_grad()
    def __call__(self, samples: np.ndarray) -> Times:
        times, start = Times(len(samples) / SAMPLE_RATE), time.thread_time()
        frames = LiveFeatures().accept(with_silence(samples, self._config))
        times.features = time.thread_time() - start
        step, window = self._model.chunk_frames, self._model.window_frames
        self._search.start(1)
        self._chunk(frames[:window], None)
        self._search.start(1)
        states = None
        for begin in range(0, len(frames) - window + 1, step):
            start = time.thread_time()
            states, encoded = self._chunk(frames[begin : begin + window], states)
            times.chunks.append(time.thread_time() - start)
            times.encoders.append(encoded - start)
        return times

    def _chunk(self, x: Tensor, states) -> tuple:
        out, states = self._model.encode_chunk(x.unsqueeze(0), states)
        encoded = time.thread_time()
        self._search.accept(out, torch.tensor([out.size(1)]))
        return states, encoded


class _Sherpa:
    """sherpa-onnx in this process: of files that were checked before (stage 14)."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._recognizer = make_recognizer(folder, kind, _METHOD, 4)
        self._config = read_info(folder).config.model

    def __call__(self, samples: np.ndarray) -> Times:
        self._stream(samples[:1], Times())
        times = Times(len(samples) / SAMPLE_RATE)
        self._stream(samples, times)
        return times

    def _stream(self, samples: np.ndarray, times: Times) -> None:
        stream, sound = self._recognizer.create_stream(), with_silence(samples, self._config)
        start = time.thread_time()
        stream.accept_waveform(SAMPLE_RATE, sound)
        stream.input_finished()
        times.features = time.thread_time() - start
        while self._recognizer.is_ready(stream):
            start = time.thread_time()
            self._recognizer.decode_stream(stream)
            times.chunks.append(time.thread_time() - start)


def _pytorch(folder: Path) -> Way:
    options = decode_options.get_parser(None).parse_args(["--exp-dir", str(folder)])
    return _Ours(*load_decoding_model(options))


def _packed(folder: Path, values: str) -> Way:
    return _Ours(*load_packed(folder / f"{values}.packed", read_info(folder).subnet))


#: How to load each, given the folder of an export.
WAYS: dict[str, Callable[[Path], Way]] = {
    "PyTorch": _pytorch,
    "onnxruntime": lambda folder: _Ours(*load_onnx(folder)),
    "onnxruntime int8": lambda folder: _Ours(*load_onnx(folder, "int8")),
    "sherpa-onnx": lambda folder: _Sherpa(folder, "float32"),
    "sherpa-onnx int8": lambda folder: _Sherpa(folder, "int8"),
    "packed": lambda folder: _packed(folder, "float32"),
    "packed int8": lambda folder: _packed(folder, "int8"),
}


def interleave(
    ways: Mapping[tuple[str, str], Way], sounds: Sequence[np.ndarray]
) -> dict[tuple[str, str], list[Times]]:
    """Times of each way, one entry an utterance; all ways stream it, in a random order.

    The first utterance is streamed once more at the end, and counted only then.
    """
    found: dict[tuple[str, str], list[Times]] = {name: [] for name in ways}
    order, rng = list(ways), random.Random(0)
    for round_number, samples in enumerate([*sounds, sounds[0]]):
        rng.shuffle(order)
        for name in order:
            times = ways[name](samples)
            if round_number:
                found[name].append(times)
    return found
