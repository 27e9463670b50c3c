# SPDX-License-Identifier: Apache-2.0
"""A linear layer that computes with the kept blocks of its weight only."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.runtime.blocks import BlockMatrix
from omni_plugin.runtime.native import load_library

_SOURCE = Path(__file__).with_name("linear.c")


class PackedLinear(nn.Module):
    """Takes the place of an ``nn.Linear`` in inference on the CPU; it gives no gradients.

    Where nothing can be compiled (see :mod:`omni_plugin.runtime.native`), the product is PyTorch's
    with the dense weight.

    Args:
      matrix: Weight and bias.

    >>> linear = torch.nn.Linear(3, 5)
    >>> packed = PackedLinear(BlockMatrix.from_dense(linear.weight, linear.bias))
    >>> x = torch.randn(2, 7, 3)
    >>> torch.allclose(packed(x), linear(x), atol=1e-6)
    True
    """

    def __init__(self, matrix: BlockMatrix) -> None:
        super().__init__()
        self.matrix = matrix
        self.in_features, self.out_features = matrix.cols, matrix.rows
        self._run: Callable[[Tensor, Tensor, int], Any] | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_run": None}  # addresses are of this process

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in_features)`` to ``(..., out_features)``, float32.

        Raises:
          OmniError: ``x`` is of another type or width, or not on the CPU.
        """
        if x.dtype != torch.float32 or x.size(-1) != self.in_features or not x.is_cpu:
            raise OmniError(
                f"a packed layer of {self.in_features} inputs got {x.dtype} of shape "
                f"{tuple(x.shape)} on {x.device}; it takes float32 on the CPU"
            )
        if self._run is None:
            self._run = self._bind()
        x = x.contiguous()
        y = torch.empty((*x.shape[:-1], self.out_features))
        self._run(x, y, x.numel() // self.in_features)
        return y

    @torch.no_grad()
    def _bind(self) -> Callable[[Tensor, Tensor, int], Any]:
        library = load_library(_SOURCE)
        if library is None:
            weight, bias = self.matrix.dense(), self.matrix.bias[: self.out_features]
            return lambda x, y, frames: y.copy_(nn.functional.linear(x, weight, bias))
        types = [ctypes.c_void_p] * 3 + [ctypes.c_long]
        call = library.function("omni_linear", ctypes.c_int, *types)
        layer = self.matrix.c_layer(library.byte_group)
        address = ctypes.addressof(layer)

        def run(x: Tensor, y: Tensor, frames: int, layer: Any = layer) -> None:
            if call(address, x.data_ptr(), y.data_ptr(), frames):
                raise MemoryError(f"no memory for {frames} frames")

        return run

    def extra_repr(self) -> str:
        band = self.matrix.band
        kept = len(band.columns) / (len(band.counts) * self.matrix.cols)
        return f"{self.in_features}, {self.out_features}, {kept:.1%} of blocks kept"


def matrix_of(linear: PackedLinear | nn.Linear) -> BlockMatrix:
    """Weight and bias of a layer, packed or not."""
    if isinstance(linear, PackedLinear):
        return linear.matrix
    return BlockMatrix.from_dense(linear.weight, linear.bias)
