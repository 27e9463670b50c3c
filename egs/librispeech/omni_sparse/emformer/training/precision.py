# SPDX-License-Identifier: Apache-2.0
"""Which kinds of numbers the forward pass can be computed in, and where."""

from __future__ import annotations

import torch
from torch import nn

from emformer.errors import RecipeError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def check_dtype(name: str, device: torch.device) -> None:
    """Refuse what a device, or torch on it, cannot train in.

    Args:
      name: One of :data:`DTYPES`.
      device: Where the model is trained.

    Raises:
      RecipeError: It cannot; says what can be used.
    """
    if name == "float16" and device.type == "cpu":
        raise RecipeError("--dtype float16 needs a GPU; use float32")
    if name == "bfloat16" and device.type == "cpu" and not cpu_has_bfloat16():
        raise RecipeError(
            f"--dtype bfloat16 needs a GPU with torch {torch.__version__}, whose CPU kernels lack "
            "it; use float32"
        )
    if name == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise RecipeError(
            f"--dtype bfloat16: {torch.cuda.get_device_name(device)} lacks it; use float16"
        )


def cpu_has_bfloat16() -> bool:
    """Whether torch's CPU kernels take what autocast gives them: torch 1.13's layer norm does not.

    Autocast lowers linear layers and leaves the others, which then get bfloat16 beside weights of
    float32.
    """
    layers = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layers(torch.zeros(1, 4)).sum().backward()
    except RuntimeError:
        return False
    return True
