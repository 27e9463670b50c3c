# SPDX-License-Identifier: Apache-2.0
"""An exported transducer in onnxruntime, for our own streaming decoding."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from emformer.config import FRAME_SHIFT_MS
from emformer.decoding.model import DecodingInfo
from emformer.encoder import States
from emformer.errors import RecipeError
from omni_emformer.export.info import read_info
from omni_emformer.export.sherpa import KINDS, PARTS


class OnnxTransducer:
    """Has what streaming decoding asks of a :class:`~emformer.model.Transducer`, on one thread.

    Streams may differ in age.

    N: batch size; F: feature dimension; J: joiner dimension; V: vocabulary; S: segment.

    Args:
      folder: Of the export.
      info: What :func:`read_info` gives of it.
      kind: ``float32`` or ``int8``.

    Raises:
      RecipeError: A file is missing or damaged.
    """

    def __init__(self, folder: Path, info: DecodingInfo, kind: str = "float32") -> None:
        self._sessions = {part: _session(folder / f"{part}{KINDS[kind]}") for part in PARTS}
        self.config, self.vocab_size = info.config.model, len(info.tokens)
        self.context_size = self.config.context_size
        self.chunk_frames = self.config.chunk_ms // FRAME_SHIFT_MS
        self.window_frames = self.chunk_frames + self.config.right_context_ms // FRAME_SHIFT_MS

    def to(self, _: torch.device) -> OnnxTransducer:
        """Itself: it runs on the CPU."""
        return self

    def num_chunks(self, x_len: int) -> int:
        """Chunks that cover an utterance of ``x_len`` frames."""
        return -(-x_len // self.chunk_frames)

    def encode_chunk(self, x: Tensor, states: States | None) -> tuple[Tensor, States]:
        """``(N, window_frames, F)`` to ``(N, S, J)`` and the new states, ``(1, N, ...)`` each."""
        session = self._sessions["encoder"]
        if states is None:
            before = [_zeros(node, len(x)) for node in session.get_inputs()[1:]]
        else:
            before = [tensor[0] for tensor in states[0]]
        out, *new = self._run("encoder", x, *before)
        return out, [[tensor.unsqueeze(0) for tensor in new]]

    def predict(self, y: Tensor) -> Tensor:
        """Decoder output ``(N, J)`` for histories ``(N, context_size)``; -1 is no symbol yet."""
        return self._run("decoder", y)[0]

    def join(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        """Logits ``(N, V)`` of projected ``(N, J)`` tensors."""
        return self._run("joiner", encoder_out, decoder_out)[0]

    def _run(self, part: str, *inputs: Tensor) -> list[Tensor]:
        session = self._sessions[part]
        names = [node.name for node in session.get_inputs()]
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, feed)]


def load_onnx(folder: Path, kind: str = "float32") -> tuple[OnnxTransducer, DecodingInfo]:
    """An exported sub-network and what it is; arguments as :class:`OnnxTransducer`."""
    info = read_info(folder)
    return OnnxTransducer(folder, info, kind), info


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime has a class for each of its reasons
        why = " ".join(str(e).split())[:200]
        raise RecipeError(f"{path}: onnxruntime does not take it ({why}); export again") from e


def _zeros(node: onnxruntime.NodeArg, streams: int) -> Tensor:
    kind = {"tensor(float)": torch.float32, "tensor(int64)": torch.int64}[node.type]
    return torch.zeros([n if isinstance(n, int) else streams for n in node.shape], dtype=kind)
