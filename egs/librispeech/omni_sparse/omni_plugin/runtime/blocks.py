# SPDX-License-Identifier: Apache-2.0
"""A matrix of 8x1 blocks of which only the kept ones are stored: the form that is computed with."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omni_plugin.errors import OmniError

ROWS = 8
MAX_COLUMNS = 65535  # a column is stored in 16 bits


class CLayer(ctypes.Structure):
    """``omni_layer`` of block_layer.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("starts", "columns", "values")),
        *((name, ctypes.c_void_p) for name in ("scales", "bias", "sums")),
        *((name, ctypes.c_int64) for name in ("rows", "cols", "bytes")),
    ]


def unsigned(values: Tensor) -> Tensor:
    """Numbers of 16 bits without a sign, which torch keeps as int16, as int64."""
    return values.long() & 0xFFFF


def to_blocks(weight: Tensor) -> Tensor:
    """A weight ``(rows, cols)`` as ``(G, cols, 8)``, with zeros below its last row."""
    padded = torch.nn.functional.pad(weight, (0, 0, 0, -len(weight) % ROWS))
    return padded.unflatten(0, (-1, ROWS)).transpose(1, 2)


def pad_rows(values: Tensor) -> Tensor:
    """A number a row ``(rows,)``, filled up with zeros to whole blocks."""
    return torch.nn.functional.pad(values, (0, -len(values) % ROWS))


@dataclass(frozen=True)
class Band:
    """Some of a matrix's blocks, in the order of block rows and, within them, of columns.

    Args:
      counts: Blocks of each block row, of shape ``(G,)``; 16 bits without sign.
      columns: Of the blocks, of shape ``(K,)``; 16 bits without sign.
      values: Of the blocks, float32 or int8 of shape ``(K, 8)``.
    """

    counts: Tensor
    columns: Tensor
    values: Tensor

    def positions(self, cols: int) -> Tensor:
        """Where the blocks lie in the row-major grid ``(G, cols)``, of shape ``(K,)``.

        Raises:
          OmniError: Counts and columns do not describe ``K`` blocks of such a grid.
        """
        counts, columns = unsigned(self.counts), unsigned(self.columns)
        if int(counts.sum()) != len(columns) or len(columns) != len(self.values):
            raise OmniError(f"{len(columns)} blocks, of which block rows count {counts.sum()}")
        if len(columns) and int(columns.max()) >= cols:
            raise OmniError(f"a block in column {columns.max()} of {cols}")
        found = torch.arange(len(counts)).repeat_interleave(counts) * cols + columns
        if len(columns) > 1 and int(found.diff().min()) <= 0:
            raise OmniError("blocks out of order")
        return found


@dataclass(frozen=True)
class BlockMatrix:
    """A weight ``(rows, cols)`` and its bias, in blocks of 8 rows by 1 column.

    G: block rows, the last of which may reach beyond the matrix.

    Args:
      rows, cols: Outputs and inputs.
      band: The kept blocks.
      bias: Of the rows, float32 of shape ``(8 * G,)``.
      scales: What the rows' values are multiplied by, float32 of shape ``(8 * G,)``.

    Raises:
      OmniError: The arrays are no such matrix. Compiled code may trust those that are.

    >>> matrix = BlockMatrix.from_dense(torch.tensor([[0.0, 2.0], [0.0, 3.0]]), torch.ones(2))
    >>> len(matrix.band.columns), matrix.dense().tolist()
    (1, [[0.0, 2.0], [0.0, 3.0]])
    """

    rows: int
    cols: int
    band: Band
    bias: Tensor
    scales: Tensor

    def __post_init__(self) -> None:
        if not (self.rows >= 1 and 1 <= self.cols <= MAX_COLUMNS):
            raise OmniError(
                f"a matrix of {self.rows} rows and {self.cols} columns; there can be 1 to "
                f"{MAX_COLUMNS} columns"
            )
        groups, band = -(-self.rows // ROWS), self.band
        for name, tensor, shape, types in (
            ("counts", band.counts, (groups,), (torch.int16,)),
            ("columns", band.columns, (len(band.columns),), (torch.int16,)),
            ("values", band.values, (len(band.columns), ROWS), (torch.float32, torch.int8)),
            ("bias", self.bias, (groups * ROWS,), (torch.float32,)),
            ("scales", self.scales, (groups * ROWS,), (torch.float32,)),
        ):
            good = tensor.shape == shape and tensor.dtype in types and tensor.is_contiguous()
            if not good or tensor.device.type != "cpu":
                raise OmniError(
                    f"a matrix's {name} are {tensor.dtype} of shape {tuple(tensor.shape)} on "
                    f"{tensor.device}; they must be {types[0]} of shape {shape} on the CPU"
                )
        band.positions(self.cols)

    @classmethod
    def from_dense(cls, weight: Tensor, bias: Tensor | None = None) -> BlockMatrix:
        """The blocks of a float32 weight that are not all zero."""
        blocks = to_blocks(weight.detach())
        keep = (blocks != 0).any(2)
        bias = torch.zeros(len(weight)) if bias is None else bias.detach()
        band = take(blocks, keep)
        return cls(*weight.shape, band, pad_rows(bias), torch.ones(len(keep) * ROWS))

    @classmethod
    def from_bands(
        cls, shape: tuple[int, int], bands: Sequence[Band], bias: Tensor, scales: Tensor
    ) -> BlockMatrix:
        """The matrix that has the blocks of several bands.

        Raises:
          OmniError: They do not fit, or have a block in common.
        """
        rows, cols = shape
        if len(bands) == 1:
            return cls(rows, cols, bands[0], bias, scales)
        positions = torch.cat([band.positions(cols) for band in bands])
        # A look-up table of the whole grid is quicker than sorting.
        table = torch.full((-(-rows // ROWS) * cols,), -1, dtype=torch.int32)
        table[positions] = torch.arange(len(positions), dtype=torch.int32)
        order = table[table >= 0].long()
        if len(order) != len(positions):
            raise OmniError("two bands have a block in common")
        merged = Band(
            torch.stack([unsigned(band.counts) for band in bands]).sum(0).to(torch.int16),
            torch.cat([band.columns for band in bands])[order],
            torch.cat([band.values for band in bands])[order],
        )
        return cls(rows, cols, merged, bias, scales)

    def dense(self) -> Tensor:
        """The weight with its zeros, float32 of shape ``(rows, cols)``."""
        groups = len(self.band.counts)
        grid = torch.zeros(groups * self.cols, ROWS)
        grid[self.band.positions(self.cols)] = self.band.values.float()
        weight = grid.view(groups, self.cols, ROWS).transpose(1, 2).reshape(-1, self.cols)
        return (weight * self.scales[:, None])[: self.rows]

    def c_layer(self, byte_group: int) -> CLayer:
        """What compiled code reads; it keeps alive what it points to.

        Args:
          byte_group: How many int8 blocks the code multiplies together. Block rows are filled up
            with blocks of zeros to whole groups, and the bytes of a group's rows stand together.
        """
        counts, columns, values = unsigned(self.band.counts), self.band.columns, self.band.values
        is_float, sums = values.dtype == torch.float32, torch.zeros_like(self.scales)
        if not is_float and byte_group > 1:
            filled = counts + -counts % byte_group
            shift = (filled - counts).cumsum(0) - (filled - counts)  # of the blocks of a block row
            places = torch.arange(len(columns)) + shift.repeat_interleave(counts)
            total, before = int(filled.sum()), values
            columns = torch.zeros(total, dtype=torch.int16).index_copy(0, places, columns)
            values = torch.zeros(total, ROWS, dtype=torch.int8).index_copy(0, places, before)
            values = values.view(-1, byte_group, ROWS).transpose(1, 2).contiguous()
            sums = torch.zeros(len(counts), ROWS, dtype=torch.int64)
            groups = torch.arange(len(counts)).repeat_interleave(counts)
            sums = (128 * sums.index_add(0, groups, before.long())).to(torch.int32).flatten()
            counts = filled
        starts = torch.zeros(len(counts) + 1, dtype=torch.int32)
        starts[1:] = counts.cumsum(0)
        layer = CLayer(
            starts.data_ptr(),
            columns.data_ptr(),
            values.data_ptr(),
            self.scales.data_ptr(),
            self.bias.data_ptr(),
            sums.data_ptr(),
            self.rows,
            self.cols,
            not is_float,
        )
        layer.keep_alive = (self, starts, columns, values, sums)
        return layer


def take(blocks: Tensor, keep: Tensor) -> Band:
    """Blocks ``(G, cols, 8)`` where ``keep`` of shape ``(G, cols)`` is true."""
    columns = keep.nonzero()[:, 1].to(torch.int16)
    return Band(keep.sum(1).to(torch.int16), columns, blocks[keep])
