# SPDX-License-Identifier: Apache-2.0
"""Nested tensors and plain values as a file that is read without running code.

torch 1.13's weights-only reader takes tensors, strings and small whole numbers, but no floats.
So values are written as one JSON text in which tensors are numbered, and the tensors beside it.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

_TENSOR, _ITEMS = "__tensor__", "__items__"


def dump(content: dict[str, Any], model: dict[str, Tensor], file: BinaryIO) -> None:
    """Write ``model`` under the key ``model``, where other tools look for it, and ``content``.

    Tuples come back as lists.

    Raises:
      OSError: The disk is full.
      TypeError: ``content`` holds something else than tensors, dicts, lists and plain values.
    """
    tensors: list[Tensor] = []
    text = json.dumps(_encode(content, tensors))
    # Into memory first: where the disk is full, torch's own writer aborts the whole process.
    buffer = io.BytesIO()
    torch.save({"model": dict(model), "json": text, "tensors": tensors}, buffer)
    file.write(buffer.getbuffer())


def load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Content and model of a file that :func:`dump` wrote, on the CPU."""
    raw = torch.load(path, map_location="cpu", weights_only=True)
    return _decode(json.loads(raw["json"]), raw["tensors"]), raw["model"]


def _encode(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors.append(value)
        return {_TENSOR: len(tensors) - 1}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _encode(v, tensors) for key, v in value.items()}
        # JSON's keys are strings only; an optimizer's state has numbers.
        return {_ITEMS: [[key, _encode(v, tensors)] for key, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_encode(v, tensors) for v in value]
    return value


def _decode(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _ITEMS in value:
        return {key: _decode(v, tensors) for key, v in value[_ITEMS]}
    return {key: _decode(v, tensors) for key, v in value.items()}
