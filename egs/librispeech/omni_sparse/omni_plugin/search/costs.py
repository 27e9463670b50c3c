# SPDX-License-Identifier: Apache-2.0
"""What a sub-network costs: a sum over its parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from omni_plugin.search.space import Vector
from omni_plugin.supernet import SuperNet


@dataclass(frozen=True)
class Cost:
    """A cost of a vector: that of its axes, and of all that no axis changes.

    Args:
      name: Such as ``params``.
      unit: To print behind a number.
      fixed: Of what no axis changes.
      of_axis: Cost of an axis, by its number and share. Called once for each.
    """

    name: str
    unit: str
    fixed: float
    of_axis: Callable[[int, float], float]
    _known: Callable[[int, float], float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", functools.cache(self.of_axis))

    def __call__(self, vector: Vector) -> float:
        return self.fixed + sum(self.axis(number, share) for number, share in enumerate(vector))

    def axis(self, number: int, share: float) -> float:
        """Cost of one axis."""
        return self._known(number, share)


def _kept(supernet: SuperNet, number: int, level: float) -> tuple[int, int]:
    """Weights of a covered weight that a level leaves, and whole blocks among them."""
    shape = supernet.model.get_parameter(supernet.layer_names[number]).shape
    zeros = supernet.pattern.num_zeros(shape, level)
    inside = supernet.layer_sizes[number] - zeros
    return shape.numel() - zeros, inside // supernet.pattern.block_size


def remaining_parameters(supernet: SuperNet, others: int) -> Cost:
    """Parameters that are not pruned.

    Args:
      supernet: What the axes are of.
      others: Parameters outside the covered weights.
    """
    return Cost("params", "", others, lambda i, level: _kept(supernet, i, level)[0])


def stored_bytes(
    supernet: SuperNet, others: int, value_bytes: int = 4, index_bytes: int = 2
) -> Cost:
    """Bytes of the weights in storage, each matrix in the smaller of two forms.

    Dense: all values. Sparse: the values of the kept blocks, an index a block, and a count a row
    of blocks.

    Args:
      supernet: What the axes are of.
      others: Parameters outside the covered weights.
      value_bytes: Of a value.
      index_bytes: Of an index or a count.
    """

    def bytes_of(number: int, level: float) -> int:
        shape = supernet.model.get_parameter(supernet.layer_names[number]).shape
        kept, blocks = _kept(supernet, number, level)
        rows = supernet.pattern.grid(shape)[0]
        return min(shape.numel() * value_bytes, kept * value_bytes + (blocks + rows) * index_bytes)

    return Cost("bytes", "B", others * value_bytes, bytes_of)


def multiply_adds(supernet: SuperNet, uses: Sequence[float], others: float) -> Cost:
    """Multiply-adds a second of audio.

    Args:
      supernet: What the axes are of.
      uses: How often a second of audio is multiplied by each covered weight.
      others: Multiply-adds a second of audio outside the covered weights.
    """
    return Cost("macs", "/s", others, lambda i, level: uses[i] * _kept(supernet, i, level)[0])


def chunk_time(layer_ms: Callable[[int, float], float], others_ms: float) -> Cost:
    """Milliseconds of computation a chunk.

    Args:
      layer_ms: Measured time of a covered weight's products of one chunk, by its number and level.
      others_ms: Measured time of everything else in a chunk.
    """
    return Cost("chunk-ms", "ms", others_ms, layer_ms)
