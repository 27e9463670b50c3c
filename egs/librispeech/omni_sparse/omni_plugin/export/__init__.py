# SPDX-License-Identifier: Apache-2.0
"""Models as files for other programs. Needs onnx, and onnxruntime for int8."""

from omni_plugin.export.files import new_folder
from omni_plugin.export.int8 import quantise
from omni_plugin.export.onnx_graph import export_onnx
from omni_plugin.export.sparse_weights import store_sparse

__all__ = ["export_onnx", "new_folder", "quantise", "store_sparse"]
