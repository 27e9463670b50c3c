# SPDX-License-Identifier: Apache-2.0
"""What :class:`omni_plugin.calibration.Calibration` runs of an icefall recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from omni_plugin.calibration import Call
from omni_plugin.errors import OmniError


def encoder_calls(batches: Iterable[Mapping[str, Any]]) -> list[Call]:
    """Forward passes of a recipe's encoder over batches of its data loader.

    The model's ``forward_encoder`` is run where there is one (zipformer), else its ``encoder``.

    Args:
      batches: With ``inputs`` of shape ``(N, T, F)`` and ``supervisions.num_frames``, as lhotse's
        K2SpeechRecognitionDataset makes them; those of a test loader have little padding and no
        augmentation.

    Raises:
      OmniError: A model has neither, when it is run.
    """
    return [_call(batch["inputs"], batch["supervisions"]["num_frames"]) for batch in batches]


def _call(x: torch.Tensor, x_lens: torch.Tensor) -> Call:
    def call(model: nn.Module) -> Any:
        for name in ("forward_encoder", "encoder"):
            if callable(getattr(model, name, None)):
                device = next(model.parameters()).device
                return getattr(model, name)(x.to(device), x_lens.to(device))
        raise OmniError(
            f"{type(model).__name__} has neither forward_encoder nor encoder; write its calls "
            "yourself, such as lambda model: model(x)"
        )

    return call
