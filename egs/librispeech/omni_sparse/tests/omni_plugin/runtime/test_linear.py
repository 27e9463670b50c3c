# SPDX-License-Identifier: Apache-2.0
"""Packed linear layers against dense ones, on every instruction set that the machine has."""

import copy
import pickle

import pytest
import torch
from torch import nn

from omni_plugin.errors import OmniError
from omni_plugin.runtime import BlockMatrix, PackedLinear, linear, matrix_of
from tests.support.runtime.layers import (
    INSTRUCTIONS,
    int8_matrix,
    sparse_weight,
    use_instructions,
)

SHAPES = pytest.mark.parametrize("rows, cols", [(64, 128), (8, 1), (1, 30), (13, 5), (100, 333)])
#: Frames that are less than a vector, whole vectors, halves, and more than are done at once.
FRAMES = [1, 2, 5, 8, 9, 16, 17, 24, 33, 40, 41, 48, 49, 57, 100]


@pytest.fixture(params=INSTRUCTIONS)
def instructions(request, monkeypatch) -> str:
    use_instructions(request.param, linear._SOURCE, monkeypatch)
    return request.param


def reference(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return nn.functional.linear(x.double(), weight.double(), bias.double())


@SHAPES
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 1.0])
def test_float32_is_within_1e_4_of_the_dense_layer(instructions, rows, cols, sparsity):
    torch.manual_seed(0)
    weight, bias = sparse_weight(rows, cols, sparsity), torch.randn(rows)
    packed = PackedLinear(BlockMatrix.from_dense(weight, bias))
    for frames in FRAMES:
        x = torch.randn(frames, cols)
        error = (packed(x) - reference(x, weight, bias)).abs().max()
        assert error < 1e-4, f"{frames} frames: {error}"


@SHAPES
@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
def test_int8_is_what_its_rounded_values_say(instructions, rows, cols, sparsity):
    torch.manual_seed(0)
    matrix = int8_matrix(rows, cols, sparsity)
    packed = PackedLinear(matrix)
    for frames in FRAMES:
        x = torch.randn(frames, cols)
        used, allowed = x.double(), 1e-4
        if instructions == "vnni":  # rounds activations to bytes, too
            step = used.abs().amax(1, keepdim=True) / 127
            used = (used / step).round() * step
            # A value half way between two bytes may become either.
            allowed += 2 * float(step.max() * matrix.dense().abs().max())
        expected = reference(used, matrix.dense(), matrix.bias[:rows])
        error = (packed(x) - expected).abs()
        assert error.max() < allowed and error.median() < 1e-4, f"{frames} frames"


def test_the_rows_of_a_wide_int8_layer_do_not_overflow(instructions):
    weight = torch.full((8, 65535), 127, dtype=torch.int8)
    matrix = BlockMatrix.from_dense(weight.float())
    values = matrix.band.values.to(torch.int8)
    band = type(matrix.band)(matrix.band.counts, matrix.band.columns, values)
    packed = PackedLinear(BlockMatrix(8, 65535, band, matrix.bias, matrix.scales))
    for sign in (1.0, -1.0):
        out = packed(torch.full((2, 65535), sign))
        torch.testing.assert_close(out, torch.full((2, 8), sign * 127 * 65535), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_frame_does_not_depend_on_the_others(instructions, kind):
    torch.manual_seed(0)
    weight = sparse_weight(27, 40, 0.5)
    packed = PackedLinear(
        BlockMatrix.from_dense(weight) if kind == "float32" else int8_matrix(27, 40, 0.5)
    )
    x = torch.randn(60, 40)
    expected = packed(x)
    for frames in (1, 7, 12, 50):
        torch.testing.assert_close(packed(x[:frames]), expected[:frames], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(20,), (3, 20), (2, 5, 20), (0, 20), (2, 0, 20), (1, 2, 3, 20)])
def test_shapes_are_those_of_a_linear_layer(shape):
    dense = nn.Linear(20, 12)
    x = torch.randn(shape)
    found = PackedLinear(matrix_of(dense))(x)
    torch.testing.assert_close(found, dense(x).detach(), rtol=0, atol=1e-5)


def test_an_input_with_gaps_is_read_right():
    dense = nn.Linear(20, 12)
    x = torch.randn(20, 9).t()
    torch.testing.assert_close(PackedLinear(matrix_of(dense))(x), dense(x).detach())


@pytest.mark.parametrize(
    "x", [torch.zeros(3, 19), torch.zeros(3, 20).double(), torch.zeros(3, 20, device="meta")]
)
def test_another_input_is_refused_with_its_kind(x):
    packed = PackedLinear(matrix_of(nn.Linear(20, 12)))
    with pytest.raises(OmniError, match="20 inputs got torch.float.*; it takes float32 on the CPU"):
        packed(x)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_computes_by_itself(duplicate):
    packed, x = PackedLinear(matrix_of(nn.Linear(20, 12))), torch.randn(4, 20)
    expected = packed(x)
    other = duplicate(packed)
    del packed
    assert torch.equal(other(x), expected)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_without_a_compiler_pytorch_gives_the_same(monkeypatch, kind):
    weight = sparse_weight(27, 40, 0.5)
    matrix = BlockMatrix.from_dense(weight) if kind == "float32" else int8_matrix(27, 40, 0.5)
    monkeypatch.setattr(linear, "load_library", lambda source: None)
    x = torch.randn(2, 9, 40)
    expected = reference(x, matrix.dense(), matrix.bias[:27])
    assert (PackedLinear(matrix)(x) - expected).abs().max() < 1e-4
