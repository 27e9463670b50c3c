# SPDX-License-Identifier: Apache-2.0
"""Masks of patterns, against sorting by hand in numpy."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from omni_plugin.patterns import make_pattern

BLOCKS = ["8x1", "1x1", "4x2", "1x4", "2x3", "16x1"]
GROUPS = ["2:4", "1:4", "1:2", "3:5"]
# Multiples of the blocks, no multiples, one block only, and pointwise convolutions.
SHAPES = [(48, 60), (21, 17), (16, 6), (24, 18, 1), (17, 12, 1, 1)]
# Of 32nds, products with whole numbers have no rounding error.
LEVELS = [i / 32 for i in range(32)]

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def weight_of(shape, seed=0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def levels_of(pattern) -> list[float]:
    """Those that the pattern allows."""
    if ":" not in pattern:
        return LEVELS
    n, m = (int(part) for part in pattern.split(":"))
    return [level for level in LEVELS if level <= 1 - n / m]


def mask_at(pattern, weight, level) -> np.ndarray:
    """The mask of a level as bool, of the shape outputs by inputs."""
    found = make_pattern(pattern)
    keep = found.keep(found.rank_weight(weight), level)
    return found.expand(keep, weight.shape).bool().flatten(1).numpy()


def block_sums(mask: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Sum over each whole block, block by block."""
    g, h = mask.shape[0] // rows, mask.shape[1] // cols
    return mask[: g * rows, : h * cols].reshape(g, rows, h, cols).sum(axis=(1, 3))


def rounded(number: Fraction) -> int:
    """To the nearest whole number, halves up."""
    return math.floor(number + Fraction(1, 2))


def size_of(name: str) -> tuple[int, int]:
    """Rows and columns of RxC, N and M of N:M."""
    first, second = name.replace("x", ":").split(":")
    return int(first), int(second)


@every_shape
@pytest.mark.parametrize("name", BLOCKS)
def test_a_level_prunes_its_share_of_the_whole_blocks_exactly(name, shape):
    weight, pattern = weight_of(shape), make_pattern(name)
    rows, cols = size_of(name)
    blocks = (shape[0] // rows) * (shape[1] // cols)
    for level in LEVELS:
        expected = rounded(blocks * Fraction(level)) * rows * cols
        assert (~mask_at(name, weight, level)).sum() == expected, level
        assert pattern.num_zeros(weight.shape, level) == expected, level


@every_shape
@pytest.mark.parametrize("name", GROUPS)
def test_a_level_prunes_as_many_of_every_group_of_inputs(name, shape):
    weight, pattern = weight_of(shape), make_pattern(name)
    _, m = size_of(name)
    for level in levels_of(name):
        pruned = ~mask_at(name, weight, level)
        each = rounded(m * Fraction(level))
        assert (block_sums(pruned, 1, m) == each).all(), level
        assert pruned.sum() == pattern.num_zeros(weight.shape, level), level


@every_shape
@pytest.mark.parametrize("name", [*BLOCKS, *GROUPS])
def test_the_masked_weight_has_the_zeros_and_else_the_dense_values(name, shape):
    weight, pattern = weight_of(shape), make_pattern(name)
    for level in (0.0, 0.3, 0.5):
        keep = pattern.keep(pattern.rank_weight(weight), level)
        masked = pattern.apply(weight, keep.to(weight.dtype))
        mask = mask_at(name, weight, level)
        assert masked.shape == weight.shape
        expected = np.where(mask, weight.flatten(1).numpy(), np.float32(0))
        assert np.array_equal(masked.flatten(1).numpy(), expected)


@every_shape
@pytest.mark.parametrize("name", ["8x1", "4x2", "1x4", "2:4"])
def test_weights_outside_whole_blocks_are_never_pruned(name, shape):
    rows, cols = size_of(name) if "x" in name else (1, 4)
    mask = mask_at(name, weight_of(shape), 0.99 if "x" in name else 0.5)
    assert mask[shape[0] // rows * rows :].all()
    assert mask[:, shape[1] // cols * cols :].all()


@every_shape
@pytest.mark.parametrize("name", [*BLOCKS, *GROUPS])
def test_of_any_two_levels_the_denser_keeps_what_the_sparser_keeps(name, shape):
    weight = weight_of(shape)
    masks = [mask_at(name, weight, level) for level in levels_of(name)]
    for sparser in range(len(masks)):
        for denser in range(sparser):
            assert not (masks[sparser] & ~masks[denser]).any(), (denser, sparser)


@every_shape
@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("name", BLOCKS)
def test_the_scores_are_those_of_numpy(name, norm, shape):
    weight = weight_of(shape)
    rows, cols = size_of(name)
    matrix = weight.flatten(1).double().numpy()
    if norm == "l1":
        expected = block_sums(np.abs(matrix), rows, cols) / (rows * cols)
    else:
        expected = np.sqrt(block_sums(matrix**2, rows, cols) / (rows * cols))
    np.testing.assert_allclose(make_pattern(name, norm).scores(weight), expected, rtol=1e-5)


@every_shape
@pytest.mark.parametrize("name", ["8x1", "4x2", "16x1"])
def test_blocks_of_8_and_more_are_kept_by_score_exactly(name, shape):
    weight = weight_of(shape)
    rows, cols = size_of(name)
    scores = make_pattern(name).scores(weight).numpy()
    for level in (0.1, 0.5, 0.9):
        kept = block_sums(mask_at(name, weight, level), rows, cols) > 0
        if kept.any() and not kept.all():
            assert scores[kept].min() >= scores[~kept].max(), level


@pytest.mark.parametrize("name, shape", [("1x1", (67, 45)), ("1x4", (66, 80)), ("1x1", (16, 16))])
def test_smaller_blocks_are_kept_by_the_256th_part_of_the_ranking_they_lie_in(name, shape):
    weight = weight_of(shape)
    rows, cols = size_of(name)
    scores = make_pattern(name).scores(weight).numpy()
    order = np.argsort(scores.flatten(), kind="stable")
    parts = np.empty(scores.size, dtype=int)
    parts[order] = np.arange(scores.size) * 256 // scores.size
    parts = parts.reshape(scores.shape)
    for level in (0.1, 1 / 3, 0.5, 0.9, 0.99):
        kept = block_sums(mask_at(name, weight, level), rows, cols) > 0
        assert parts[kept].min() >= parts[~kept].max(), level


def test_up_to_256_small_blocks_are_kept_by_score_exactly():
    weight = weight_of((16, 16))
    values = weight.abs().numpy()
    for level in LEVELS[1:]:
        kept = mask_at("1x1", weight, level)
        assert values[kept].min() >= values[~kept].max(), level


@every_shape
@pytest.mark.parametrize("name", GROUPS)
def test_of_every_group_the_largest_are_kept(name, shape):
    weight = weight_of(shape)
    _, m = size_of(name)
    values = weight.flatten(1).abs().numpy()
    for level in levels_of(name)[::8]:
        kept = mask_at(name, weight, level)
        for start in range(0, shape[1] - m + 1, m):
            group, keeps = values[:, start : start + m], kept[:, start : start + m]
            least = np.where(keeps, group, np.inf).min(axis=1)
            assert (least >= np.where(keeps, 0, group).max(axis=1)).all(), level


def test_l1_and_l2_differ_where_a_block_has_one_large_weight():
    weight = torch.tensor([[1.0, 0.0], [1.0, 1.5]])
    for norm, kept in (("l1", 0), ("l2", 1)):
        pattern = make_pattern("2x1", norm)
        keep = pattern.keep(pattern.rank_weight(weight), 0.5)
        assert keep.tolist() == [[kept == 0, kept == 1]], norm


@pytest.mark.parametrize("name", [*BLOCKS, *GROUPS])
def test_equal_scores_are_ranked_by_position_every_time(name):
    pattern, weight = make_pattern(name), torch.ones(48, 60)
    ranks = pattern.rank_weight(weight)
    assert torch.equal(ranks, pattern.rank_weight(weight.clone()))
    grid = mask_at(name, weight, 0.5)
    if ":" in name:
        _, m = size_of(name)
        assert (grid[:, :m] == grid[:1, :m]).all()
        assert np.array_equal(np.sort(grid[0, :m]), grid[0, :m])  # first ones go first
    else:
        rows, cols = size_of(name)
        kept = (block_sums(grid, rows, cols) > 0).flatten()
        assert np.array_equal(np.sort(kept), kept)


@pytest.mark.parametrize(
    "name, share", [("1x1", 1), ("8x1", 1 / 2), ("4x2", 1 / 2), ("16x1", 1 / 4), ("1x4", 1 / 4)]
)
def test_rankings_take_few_bytes_a_weight(name, share):
    weight = weight_of((64, 96))
    assert stored_bytes(make_pattern(name).rank_weight(weight)) == share * weight.numel()


@pytest.mark.parametrize("name", GROUPS)
def test_rankings_within_groups_take_a_byte_a_weight(name):
    weight = weight_of((64, 120))
    assert stored_bytes(make_pattern(name).rank_weight(weight)) == weight.numel()


def stored_bytes(tensor: torch.Tensor) -> int:
    """Of the memory behind a tensor, of which it may be a part."""
    storage = getattr(tensor, "untyped_storage", tensor.storage)()
    return storage.nbytes()


@pytest.mark.parametrize("name", ["8x1", "1x1", "2:4"])
@pytest.mark.parametrize("tail", [(1,), (1, 1)])
def test_a_pointwise_convolution_has_the_mask_of_its_matrix(name, tail):
    weight = weight_of((16, 12))
    conv = weight.view(16, 12, *tail)
    assert np.array_equal(mask_at(name, conv, 0.4), mask_at(name, weight, 0.4))


@pytest.mark.parametrize("name", ["8x1", "2x3", "2:4"])
def test_a_weight_whose_memory_is_transposed_has_the_same_mask(name):
    weight = weight_of((24, 20))
    other = weight.t().contiguous().t()
    assert not other.is_contiguous()
    assert np.array_equal(mask_at(name, other, 0.4), mask_at(name, weight, 0.4))


@every_shape
@pytest.mark.parametrize("name", ["8x1", "1x1", "2:4"])
def test_the_gradient_goes_to_the_kept_weights_alone(name, shape):
    weight, pattern = weight_of(shape).requires_grad_(), make_pattern(name)
    keep = pattern.keep(pattern.rank_weight(weight), 0.5)
    upstream = weight_of(shape, seed=1)
    pattern.apply(weight, keep.float()).backward(upstream)
    mask = torch.from_numpy(mask_at(name, weight.detach(), 0.5)).view(shape)
    assert torch.equal(weight.grad, torch.where(mask, upstream, torch.zeros(())))
