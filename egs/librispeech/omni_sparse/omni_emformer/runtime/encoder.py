# SPDX-License-Identifier: Apache-2.0
"""The Emformer's streaming step in compiled code, on block-sparse layers."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emformer.encoder import States
from omni_plugin.errors import OmniError
from omni_plugin.runtime import CLayer, Library, load_library, matrix_of

_SOURCE = Path(__file__).with_name("step.c")
_ACTIVATIONS = {nn.ReLU: 1, nn.GELU: 2, nn.SiLU: 3}


class _Norm(ctypes.Structure):
    """``norm`` of step.c."""

    _fields_ = [("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p)]


class _Layer(ctypes.Structure):
    """``emformer_layer`` of step.c."""

    _fields_ = [
        *((name, CLayer) for name in ("query", "key_value", "out", "up", "down")),
        *((name, _Norm) for name in ("before_attention", "before_ffn", "after")),
    ]


class _Emformer(ctypes.Structure):
    """``emformer`` of step.c."""

    _fields_ = [
        ("layers", ctypes.POINTER(_Layer)),
        *((name, ctypes.c_int64) for name in ("num_layers", "dim", "heads", "ffn")),
        *((name, ctypes.c_int64) for name in ("segment", "right", "left", "activation")),
        ("eps", ctypes.c_float),
    ]


class PackedEmformer(nn.Module):
    """Takes the place of torchaudio's Emformer in streaming decoding on the CPU.

    ``infer`` runs all layers of a chunk in one compiled function; where nothing can be compiled
    it is torchaudio's. Names in the state dict stay the same. Threads may share it.

    N: batch size; S: segment, R: right context; D: dimension.

    Args:
      emformer: Without memory elements; its linear layers may be packed ones.

    Raises:
      OmniError: It is of another make.
    """

    def __init__(self, emformer: nn.Module) -> None:
        super().__init__()
        if emformer.use_mem:
            raise OmniError("an Emformer with memory elements has no compiled streaming step")
        self.emformer_layers = emformer.emformer_layers
        self._wrapped = (emformer,)  # a tuple hides it: its layers are this module's
        self._step: _Step | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_step": None}  # addresses are of this process

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        self._step = None  # the layers may be others by now, see use_packed
        super()._load_from_state_dict(*args, **options)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Simulated streaming, as torchaudio's ``Emformer.forward``."""
        return self._wrapped[0](x, lengths)

    @torch.no_grad()
    def infer(
        self, x: Tensor, lengths: Tensor, states: States | None = None
    ) -> tuple[Tensor, Tensor, States]:
        """A chunk of each stream, as torchaudio's ``Emformer.infer``.

        The states are of another form, and changed in place. Streams may differ in age.

        Args:
          x: Of shape ``(N, S + R, D)``, float32.
          lengths: Valid frames of each stream, of shape ``(N,)``.
          states: What the previous call returned; None at the start of the streams.

        Returns:
          Output of shape ``(N, S, D)``, its lengths of shape ``(N,)``, and the states.

        Raises:
          OmniError: The chunk or the states are of another kind, or the layers do not fit together.
        """
        library, (emformer,) = load_library(_SOURCE), self._wrapped
        if library is None:
            return emformer.infer(x, lengths, states)
        if self._step is None:
            self._step = _Step(emformer, library)
        out, states = self._step(x, states)
        return out, (lengths - emformer.right_context_length).clamp(min=0), states


class _Step:
    """The compiled step of an Emformer, bound to its weights."""

    def __init__(self, emformer: nn.Module, library: Library) -> None:
        layers = emformer.emformer_layers
        self.segment, self.right = emformer.segment_length, emformer.right_context_length
        self.dim = layers[0].input_dim
        self._kept: list = []  # what the structures point into
        self._byte_group = library.byte_group
        bound = [self._layer(layer) for layer in layers]
        attention = next((x.attention for x in layers if x.attention is not None), None)
        ffn = next((x.pos_ff for x in layers if x.pos_ff is not None), None)
        self._model = _Emformer(
            (_Layer * len(bound))(*bound),
            len(bound),
            self.dim,
            attention.num_heads if attention is not None else 1,
            matrix_of(ffn[1]).rows if ffn is not None else 0,
            self.segment,
            self.right,
            emformer.left_context_length,
            _ACTIVATIONS[type(ffn[2])] if ffn is not None else 0,
            layers[0].layer_norm_output.eps,
        )
        self._address = ctypes.addressof(self._model)
        sizes = (
            library.function(name, ctypes.c_long, ctypes.c_void_p)(self._address)
            for name in ("emformer_state_size", "emformer_work_size")
        )
        self._state_size, self._work_size = sizes
        self._of_thread = threading.local()
        pointers = [ctypes.c_void_p] * 5
        self._run = library.function("emformer_step", None, *pointers, ctypes.c_long)

    def _layer(self, layer: nn.Module) -> _Layer:
        bound, dim = _Layer(), self.dim
        bound.after = self._norm(layer.layer_norm_output)
        if (attention := layer.attention) is not None:
            bound.before_attention = self._norm(layer.layer_norm_input)
            bound.query = self._linear(attention.emb_to_query, (dim, dim))
            bound.key_value = self._linear(attention.emb_to_key_value, (2 * dim, dim))
            bound.out = self._linear(attention.out_proj, (dim, dim))
        if layer.pos_ff is not None:
            norm, up, _, _, down, _ = layer.pos_ff
            bound.before_ffn = self._norm(norm)
            bound.up = self._linear(up, (up.out_features, dim))
            bound.down = self._linear(down, (dim, up.out_features))
        return bound

    def _linear(self, module: nn.Module, shape: tuple[int, int]) -> CLayer:
        matrix = matrix_of(module)
        if (matrix.rows, matrix.cols) != shape:
            raise OmniError(f"a layer is {matrix.rows} x {matrix.cols} and not {shape}")
        layer = matrix.c_layer(self._byte_group)
        self._kept.append(layer)
        return layer

    def _norm(self, module: nn.LayerNorm) -> _Norm:
        pair = [value.detach().float().contiguous() for value in (module.weight, module.bias)]
        self._kept.append(pair)
        return _Norm(*(value.data_ptr() for value in pair))

    def __call__(self, x: Tensor, states: States | None) -> tuple[Tensor, States]:
        shape = (len(x), self.segment + self.right, self.dim)
        if x.shape != shape or x.dtype != torch.float32 or x.device.type != "cpu":
            raise OmniError(
                f"a chunk is {x.dtype} of shape {tuple(x.shape)} on {x.device}; it must be float32 "
                f"of shape {shape} on the CPU"
            )
        keys_values, past = self._unpack(states, len(x))
        x, out, work = x.contiguous(), torch.empty(len(x), self.segment, self.dim), self._work()
        for i, age in enumerate(past[0].tolist()):
            self._run(
                self._address,
                x[i].data_ptr(),
                out[i].data_ptr(),
                keys_values[0, i].data_ptr(),
                work.data_ptr(),
                age,
            )
        past += self.segment
        return out, [[keys_values, past]]

    def _unpack(self, states: States | None, streams: int) -> tuple[Tensor, Tensor]:
        """Keys and values ``(1, N, size)``, and how many frames the streams had before ``(1, N)``.

        The batch is the second dimension, as in torchaudio's states.
        """
        shape = (1, streams, self._state_size)
        if states is None:
            return torch.zeros(shape), torch.zeros(shape[:2], dtype=torch.int64)
        try:
            ((keys_values, past),) = states
            good = keys_values.shape == shape and keys_values.dtype == torch.float32
            good = good and past.shape == shape[:2] and past.dtype == torch.int64
            good = good and keys_values.is_cpu and int(past.min()) >= 0
        except (TypeError, ValueError):
            good = False
        if not good:
            raise OmniError("the states are not those that this model's previous chunk returned")
        return keys_values.contiguous(), past

    def _work(self) -> Tensor:
        """Work space of this thread."""
        if not hasattr(self._of_thread, "work"):
            self._of_thread.work = torch.zeros(self._work_size)
        return self._of_thread.work
