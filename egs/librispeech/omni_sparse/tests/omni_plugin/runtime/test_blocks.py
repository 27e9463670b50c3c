# SPDX-License-Identifier: Apache-2.0
"""Matrices of 8x1 blocks: what they keep, and what they refuse."""

import dataclasses

import pytest
import torch

from omni_plugin.errors import OmniError
from omni_plugin.runtime import BlockMatrix
from omni_plugin.runtime.blocks import Band, take, to_blocks
from tests.support.runtime.layers import sparse_weight

SHAPES = pytest.mark.parametrize("rows, cols", [(8, 1), (16, 40), (1, 5), (27, 13), (7, 300)])


@SHAPES
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 1.0])
def test_a_weight_comes_back_bit_by_bit(rows, cols, sparsity):
    weight = sparse_weight(rows, cols, sparsity)
    assert torch.equal(BlockMatrix.from_dense(weight).dense(), weight)


@SHAPES
def test_only_blocks_that_are_not_zero_are_stored(rows, cols):
    weight = sparse_weight(rows, cols, 0.7)
    expected = sum(
        bool((weight[row : row + 8, col] != 0).any())
        for row in range(0, rows, 8)
        for col in range(cols)
    )
    assert len(BlockMatrix.from_dense(weight).band.columns) == expected


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.999])
def test_all_columns_that_16_bits_can_tell_apart_are_kept_apart(sparsity):
    weight = sparse_weight(9, 65535, sparsity)
    blocks, whole = to_blocks(weight), BlockMatrix.from_dense(weight)
    assert torch.equal(whole.dense(), weight)
    keep = (blocks != 0).any(2)
    even = torch.arange(65535) % 2 == 0
    bands = [take(blocks, keep & even), take(blocks, keep & ~even)]
    merged = BlockMatrix.from_bands((9, 65535), bands, whole.bias, whole.scales)
    assert torch.equal(merged.dense(), weight)


def test_more_columns_than_16_bits_can_tell_are_refused():
    with pytest.raises(OmniError, match="65536 columns; there can be 1 to 65535"):
        BlockMatrix.from_dense(torch.zeros(8, 65536))


def test_bands_in_any_order_are_merged_to_the_whole():
    weight = sparse_weight(27, 40, 0.3)
    blocks, whole = to_blocks(weight), BlockMatrix.from_dense(weight)
    number = torch.randint(0, 3, blocks.shape[:2])
    bands = [take(blocks, (number == i) & (blocks != 0).any(2)) for i in (2, 0, 1)]
    merged = BlockMatrix.from_bands((27, 40), bands, whole.bias, whole.scales)
    for found, expected in zip(
        dataclasses.astuple(merged.band), dataclasses.astuple(whole.band), strict=True
    ):
        assert torch.equal(found, expected)


def test_bands_that_share_a_block_are_refused():
    whole = BlockMatrix.from_dense(sparse_weight(16, 5, 0.0))
    with pytest.raises(OmniError, match="two bands have a block in common"):
        BlockMatrix.from_bands((16, 5), [whole.band] * 2, whole.bias, whole.scales)


def _with(matrix: BlockMatrix, **parts) -> BlockMatrix:
    band = {name: parts.pop(name) for name in ("counts", "columns", "values") if name in parts}
    return dataclasses.replace(matrix, band=dataclasses.replace(matrix.band, **band), **parts)


IMPOSSIBLE = {
    "a column beyond the matrix": {"columns": torch.tensor([0, 1, 0, 2])},
    "a negative column": {"columns": torch.tensor([0, 1, -1, 1])},
    "a column twice": {"columns": torch.tensor([0, 0, 0, 1])},
    "columns out of order": {"columns": torch.tensor([1, 0, 0, 1])},
    "a column too few": {"columns": torch.tensor([0, 1, 0])},
    "counts that are too large": {"counts": torch.tensor([2, 3])},
    "counts that are too small": {"counts": torch.tensor([1, 2])},
    "counts that wrap around": {"counts": torch.tensor([-2, 6])},
    "a count too few": {"counts": torch.tensor([4])},
    "values of another width": {"values": torch.zeros(4, 7)},
    "values of another type": {"values": torch.zeros(4, 8, dtype=torch.float64)},
    "values with gaps": {"values": torch.zeros(4, 16)[:, ::2]},
    "a bias too short": {"bias": torch.zeros(9)},
    "scales of another type": {"scales": torch.ones(16, dtype=torch.float16)},
    "no columns": {"cols": 0},
    "more rows than block rows": {"rows": 17},
    "no rows": {"rows": 0},
}


@pytest.mark.parametrize("parts", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_arrays_that_are_no_matrix_are_refused(parts):
    matrix = BlockMatrix.from_dense(sparse_weight(9, 2, 0.0))
    parts = {k: v.to(torch.int16) if k in ("counts", "columns") else v for k, v in parts.items()}
    with pytest.raises(OmniError):
        _with(matrix, **parts)


def test_without_a_change_they_are_not_refused():
    matrix = BlockMatrix.from_dense(sparse_weight(9, 2, 0.0))
    columns = torch.tensor([0, 1, 0, 1], dtype=torch.int16)
    assert torch.equal(_with(matrix, columns=columns).dense(), matrix.dense())


def test_a_band_counts_its_blocks_by_block_row():
    band = Band(torch.tensor([1, 2]), torch.tensor([2, 0, 1]), torch.zeros(3, 8))
    assert band.positions(3).tolist() == [2, 3, 4]
