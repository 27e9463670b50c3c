# SPDX-License-Identifier: Apache-2.0
"""Packed transducers that were never trained, sound for them, and what PyTorch makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from emformer.config import Config, ModelConfig, TrainingConfig
from emformer.decoding.model import DecodingInfo
from emformer.decoding.search import make_search
from emformer.model import Transducer, make_model
from omni_emformer.live.features import LiveFeatures, with_silence
from omni_emformer.runtime.model import pack_transducers
from omni_plugin import SuperNet
from omni_recognizer.endpoint import EndpointRules
from tests.support.random_weights import CONFIG, TOKENS

#: Names of sub-networks, and their levels.
SUBNETS = {"dense": 0.0, "0.50": 0.5, "0.90": 0.9}
#: By which models that say something all the time end an utterance often.
QUICK = EndpointRules(0.52, 0.28, 1.5)
KINDS = {
    "tiny": {},
    "demo": dict(stack_window=28, encoder_dim=48, num_heads=4, ffn_dim=96, num_layers=3,
                 segment=8, left_context=24, decoder_dim=24, joiner_dim=40),
    "conv": dict(frontend="conv", activation="gelu", right_context=2, context_size=3,
                 removed_units=("1.attention", "0.ffn")),
}  # fmt: skip


class Made(NamedTuple):
    """A packed file and its sub-networks as plain models, by name."""

    path: Path
    models: dict[str, Transducer]
    info: DecodingInfo


def pack_kind(
    path: Path,
    kind: str,
    values: str = "float32",
    blank: float = 0.0,
    tokens: Sequence[str] = TOKENS,
) -> Made:
    """A file of one of :data:`KINDS`.

    Args:
      blank: Is added to its logit; the more, the longer the model says nothing.
      tokens: Symbols by id, of which the first three are those of :data:`TOKENS`.
    """
    config = replace(CONFIG.model, **KINDS[kind])
    torch.manual_seed(0)
    model = _speaking(config, len(tokens))
    with torch.no_grad():
        model.joiner.output_linear.bias[0] += blank
    net = SuperNet(model, "8x1", include=[r"^encoder\.emformer\."])
    models, infos = {}, {}
    for name, level in SUBNETS.items():
        models[name] = net.baked_model(level).eval()
        infos[name] = _info(config, name, tokens)
        infos[name].measure(models[name])
    makers: Sequence[Callable] = [
        lambda name=name: (_copy(models[name]), replace(infos[name])) for name in SUBNETS
    ]
    pack_transducers(path, makers, values)
    return Made(path, models, infos["dense"])


def pack_own(path: Path, kind: str, values: str = "float32") -> Made:
    """A file of one of :data:`KINDS` whose sub-networks are of several trainings.

    ``0.50`` shares nothing with ``dense``; ``0.90`` is that pruned further, with an embedding,
    norms and a decoder of its own.
    """
    config, models, infos = replace(CONFIG.model, **KINDS[kind]), {}, {}
    for number, (name, level) in enumerate(SUBNETS.items()):
        torch.manual_seed(min(number, 1))
        model = _speaking(config, len(TOKENS))
        if number == 2:
            with torch.no_grad():
                for part, parameter in model.named_parameters():
                    if "decoder" in part or "norm" in part:
                        parameter.add_(0.2 * torch.randn_like(parameter))
        net = SuperNet(model, "8x1", include=[r"^encoder\.emformer\."])
        models[name] = net.baked_model(level).eval()
        infos[name] = _info(config, name, TOKENS)
        infos[name].measure(models[name])
    makers = [lambda name=name: (_copy(models[name]), replace(infos[name])) for name in SUBNETS]
    pack_transducers(path, makers, values, own_values=True)
    return Made(path, models, infos["dense"])


def _speaking(config: ModelConfig, vocab_size: int) -> Transducer:
    """Random weights, of which the joiner's are such that the sound decides what is said."""
    model = make_model(config, vocab_size).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):  # not as they begin
                parameter += 0.1 * torch.randn_like(parameter)
        model.joiner.output_linear.weight.normal_()
        model.joiner.output_linear.bias.zero_()
        projection, states, outputs = model.joiner.encoder_proj, None, []
        for window in windows_of(model, sound()):
            out, states = model.encode_chunk(window[None], states)
            outputs.append(out[0] - projection.bias)
        mean = torch.cat(outputs).mean(0)
        deviation = (torch.cat(outputs) - mean).std()
        projection.weight /= deviation
        projection.bias.copy_(-mean / deviation)
    return model


def _copy(model: Transducer) -> Transducer:
    """Packing takes parts out of a model."""
    made = make_model(model.config, model.vocab_size).eval()
    made.load_state_dict(model.state_dict())
    return made


def _info(config: ModelConfig, subnet: str, tokens: Sequence[str]) -> DecodingInfo:
    training = dict(seed=0, train_updates=1, train_passes=1, train_cost=1.0, train_seconds=1.0)
    whole = Config(config, TrainingConfig())
    return DecodingInfo("none", whole, list(tokens), "none", **training, name="none", subnet=subnet)


def sound(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes over a rising tone, as 16 bits give it; float32 in [-1, 1]."""
    rng, t = np.random.default_rng(seed), np.arange(int(16000 * seconds)) / 16000
    noise = rng.standard_normal(len(t)) * np.sin(2 * np.pi * 1.7 * t) ** 2
    x = 0.05 * noise + 0.2 * np.sin(2 * np.pi * (200 + 300 * t) * t)
    return (np.round(x * 32768).clip(-32768, 32767) / 32768).astype(np.float32)


def save_sound(path: Path, seconds: float = 3.0) -> Path:
    """:func:`sound` as a wav file of 16 bits."""
    soundfile.write(path, sound(seconds), 16000, subtype="PCM_16")
    return path


class Reference(NamedTuple):
    """Of a stream in PyTorch: text, tokens, their frames, and each chunk's encoder output."""

    text: str
    tokens: list[int]
    frames: list[int]
    encoder: list[Tensor]


def windows_of(model: Transducer, samples: np.ndarray) -> list[Tensor]:
    """Features of each chunk of a sound and its look-ahead, by kaldi-native-fbank."""
    features = LiveFeatures().accept(with_silence(samples, model.config))
    begins = range(0, len(features) - model.window_frames + 1, model.chunk_frames)
    return [features[begin : begin + model.window_frames] for begin in begins]


@torch.no_grad()
def in_pytorch(
    made: Made,
    samples: np.ndarray,
    subnets: Sequence[str],
    windows: Sequence[np.ndarray] | None = None,
    method: str = "greedy_search",
    **settings: int,
) -> Reference:
    """A sound through sub-networks which take turns, a chunk each, with torchaudio's Emformer.

    Args:
      windows: Features of the chunks; by default Kaldi's of the sound.
      method, settings: Of :func:`make_search`.
    """
    states, outputs = None, []
    models = [made.models[name] for name in subnets]
    search = make_search(method, models[0], **settings)
    search.start(1)
    if windows is None:
        windows = windows_of(models[0], samples)
    for number, features in enumerate(windows):
        model = models[number % len(models)]
        search.model = model
        search.model_changed()
        out, states = model.encoder.forward_chunk(torch.as_tensor(features)[None], states)
        outputs.append(out[0])
        search.accept(model.joiner.encoder_proj(out), torch.tensor([out.size(1)]))
    (tokens,), (frames,) = search.hypotheses(), search.timestamps()
    return Reference(" ".join(made.info.words(tokens)), tokens, frames, outputs)
