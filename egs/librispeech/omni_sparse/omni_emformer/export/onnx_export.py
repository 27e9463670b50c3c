# SPDX-License-Identifier: Apache-2.0
"""A transducer as ONNX files that sherpa-onnx runs as a streaming one.

sherpa-onnx knows no Emformer. It chooses by ``model_type`` what a stream remembers between chunks,
and knows nothing else of the network; ``ebranchformer`` means keys and values of each attention
layer, two caches of convolutions, which are of size zero here, and a number of frames that the
model counts itself. So the type names that contract, and ``architecture`` says what the file is.

``encoder.onnx`` takes a window of ``T`` feature frames, drops ``decode_chunk_len`` of them, and
gives output that is projected for the joiner, as ``decoder.onnx`` does. Features are those of
emformer/data/features.py, which are sherpa-onnx's own; the encoder normalises them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from emformer.decoding.model import DecodingInfo
from emformer.model import Transducer
from omni_emformer.export.onnx_step import DecoderStep, EncoderStep, JoinerStep
from omni_emformer.export.sherpa import KINDS, PARTS, TOKENS
from omni_plugin.export import export_onnx, quantise, store_sparse

# The quantised operators of each part, as in icefall's export-onnx.py.
_OPERATORS = {"encoder": ["MatMul"], "decoder": ["MatMul", "Gather"], "joiner": ["MatMul"]}
_CACHES = ("cached_key", "cached_value", "cached_conv", "cached_conv_fusion")
_BATCH = {0: "N"}


class _SherpaEncoder(nn.Module):
    """An :class:`EncoderStep` that takes and gives its states one by one.

    Args:
      model: The transducer.

    Attributes:
      state_names: Of the inputs after ``x``, in order.
    """

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        self.step = EncoderStep(model)
        numbers = range(self.step.num_caches)
        self.state_names = [f"{name}_{i}" for i in numbers for name in _CACHES]
        self.state_names.append("processed_lens")

    def initial_states(self, streams: int) -> list[Tensor]:
        step = self.step
        keys = torch.zeros(streams, step.heads, step.left, step.head_dim)
        convolutions = torch.zeros(streams, 1, 0), torch.zeros(streams, 2, 0)
        states = [keys, keys.clone(), *convolutions] * step.num_caches
        return [*states, torch.zeros(streams, dtype=torch.int64)]

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        *caches, processed = states
        every = len(_CACHES)
        out, keys, values, processed = self.step(x, caches[::every], caches[1::every], processed)
        new = []
        for i, pair in enumerate(zip(keys, values, strict=True)):
            # What is given must have been computed; of size zero, nothing is.
            new += [*pair, *(cache * 1 for cache in caches[every * i + 2 : every * (i + 1)])]
        return (out, *new, processed)


def write_onnx(
    model: Transducer, info: DecodingInfo, folder: Path, int8: bool = True, sparse: bool = True
) -> list[Path]:
    """Write ``encoder``, ``decoder`` and ``joiner`` as ``.onnx`` (and ``.int8.onnx``), and tokens.

    Args:
      model: In eval mode, on the CPU.
      info: What the files tell of it.
      folder: Where to.
      int8: Whether to write the quantised files, too.
      sparse: Whether weights with many zeros are stored without them.

    Returns:
      The ONNX files.
    """
    write_tokens(info.tokens, folder / TOKENS)
    dense = folder / "dense"
    dense.mkdir()
    _write_parts(model, info, dense)
    found = []
    for part in PARTS:
        names = [part + end for end in KINDS.values()][: 1 + int8]
        if int8:
            quantise(dense / names[0], dense / names[1], _OPERATORS[part])
        for name in names:
            if sparse:
                store_sparse(dense / name, folder / name)
            else:
                (dense / name).rename(folder / name)
            found.append(folder / name)
    shutil.rmtree(dense)
    return found


def write_tokens(tokens: Sequence[str], path: Path) -> None:
    """A line ``symbol id`` for each."""
    path.write_text("".join(f"{token} {i}\n" for i, token in enumerate(tokens)), encoding="utf-8")


def _write_parts(model: Transducer, info: DecodingInfo, folder: Path) -> None:
    config, encoder = model.config, _SherpaEncoder(model)
    about = {
        "architecture": "emformer",
        "model_author": "omni_sparse",
        "subnet": info.subnet,
        "sparsity": f"{info.sparsity:.4f}",
        "weights": info.weights,
    }
    x = torch.zeros(2, model.window_frames, config.feature_dim)
    names = encoder.state_names
    export_onnx(
        encoder,
        [x, *encoder.initial_states(2)],
        folder / "encoder.onnx",
        {"x": _BATCH, **dict.fromkeys(names, _BATCH)},
        {"encoder_out": _BATCH, **{f"new_{name}": _BATCH for name in names}},
        {**about, **_contract(model, encoder.step.num_caches)},
    )
    export_onnx(
        DecoderStep(model),
        [torch.zeros(2, config.context_size, dtype=torch.int64)],
        folder / "decoder.onnx",
        {"y": _BATCH},
        {"decoder_out": _BATCH},
        {**about, "context_size": config.context_size, "vocab_size": model.vocab_size},
    )
    projected = torch.zeros(2, config.joiner_dim)
    export_onnx(
        JoinerStep(model),
        [projected, projected],
        folder / "joiner.onnx",
        {"encoder_out": _BATCH, "decoder_out": _BATCH},
        {"logit": _BATCH},
        {**about, "joiner_dim": config.joiner_dim},
    )


def _contract(model: Transducer, num_caches: int) -> dict[str, object]:
    """What sherpa-onnx reads of an encoder of type ebranchformer."""
    config = model.config
    return {
        "model_type": "ebranchformer",
        "version": 1,
        "comment": "an Emformer; the model type names the layout of its state, see architecture",
        "T": model.window_frames,
        "decode_chunk_len": model.chunk_frames,
        "num_hidden_layers": num_caches,
        "num_heads": config.num_heads,
        "head_dim": config.encoder_dim // config.num_heads,
        "left_context_len": config.left_context,
        # Convolutions, which it has none of: caches of shapes (N, 1, 0) and (N, 2, 0).
        "hidden_size": 1,
        "intermediate_size": 2,
        "csgu_kernel_size": 1,
        "merge_conv_kernel": 1,
    }
