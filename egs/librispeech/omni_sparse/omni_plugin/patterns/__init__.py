# SPDX-License-Identifier: Apache-2.0
"""Which weights form a block, how blocks are scored and ranked, and which a level keeps."""

from __future__ import annotations

import re

from omni_plugin.errors import OmniError
from omni_plugin.patterns.base import RANDOM, Pattern, check_sparsity
from omni_plugin.patterns.block import BlockPattern
from omni_plugin.patterns.n_m import NMPattern

__all__ = ["RANDOM", "BlockPattern", "NMPattern", "Pattern", "check_sparsity", "make_pattern"]


def make_pattern(name: str, norm: str = "l1") -> Pattern:
    """A pattern by its name.

    Args:
      name: ``RxC`` (R output rows by C input columns), ``unstructured`` (1x1), or ``N:M``.
      norm: Score of a block, ``l1``, ``l2`` or ``random``.

    Raises:
      OmniError: The name is none of these.

    >>> make_pattern("8x1")
    BlockPattern('8x1', norm='l1')
    """
    if name == "unstructured":
        name = "1x1"
    if found := re.fullmatch(r"(\d+)x(\d+)", str(name)):
        return BlockPattern(int(found[1]), int(found[2]), norm)
    if found := re.fullmatch(r"(\d+):(\d+)", str(name)):
        return NMPattern(int(found[1]), int(found[2]), norm)
    raise OmniError(f"pattern {name!r} is unknown; write RxC (8x1), N:M (2:4) or unstructured")
