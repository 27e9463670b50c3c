# SPDX-License-Identifier: Apache-2.0
"""A module's computation as an ONNX file."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

OPSET = 17


@torch.no_grad()
def export_onnx(
    model: nn.Module,
    arguments: Sequence[Tensor],
    path: Path,
    inputs: Mapping[str, Mapping[int, str]],
    outputs: Mapping[str, Mapping[int, str]],
    metadata: Mapping[str, object],
) -> None:
    """Trace a module and write its graph.

    Args:
      model: Its operators on ``arguments`` are traced.
      arguments: Examples of its inputs.
      path: Of the file.
      inputs, outputs: Names in order, and the names of their axes whose sizes vary.
      metadata: What the file tells of itself.
    """
    # torch 2 has two exporters; the old one is that of torch 1.
    old = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Of sizes that become constants, which is meant, and of the old exporter's age.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            tuple(arguments),
            buffer,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={n: dict(axes) for n, axes in {**inputs, **outputs}.items() if axes},
            **old,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(graph, {name: str(value) for name, value in metadata.items()})
    onnx.checker.check_model(graph)
    path.write_bytes(graph.SerializeToString())
