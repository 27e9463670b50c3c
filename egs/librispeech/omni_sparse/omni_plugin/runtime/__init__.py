# SPDX-License-Identifier: Apache-2.0
"""Sub-networks on the CPU: block-sparse linear layers, and files whose bytes shrink with them."""

from omni_plugin.runtime.blocks import BlockMatrix, CLayer
from omni_plugin.runtime.header import VALUE_TYPES
from omni_plugin.runtime.linear import PackedLinear, matrix_of
from omni_plugin.runtime.native import Library, load_library
from omni_plugin.runtime.packed_file import PackedFile, use_packed, write_packed

__all__ = [
    "VALUE_TYPES",
    "BlockMatrix",
    "CLayer",
    "Library",
    "PackedFile",
    "PackedLinear",
    "load_library",
    "matrix_of",
    "use_packed",
    "write_packed",
]
