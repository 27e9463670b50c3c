# SPDX-License-Identifier: Apache-2.0
"""Training passes on ``meta``, whose tensors have shapes and no data: whoever reads one fails.

So a pass that runs there does not let the host wait for a GPU either.
"""

from __future__ import annotations

import contextlib
import importlib

import pytest
import torch

from emformer import rnnt_backend
from emformer.training.loss import Batch
from tests.support.made_up_batches import make_batch

META = "meta"

_prune_ranges = rnnt_backend.get_rnnt_prune_ranges


def complete_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give ``meta`` what it lacks: operations that a GPU has, and the recursion of a loss library
    compiled without CUDA."""
    argsort = torch.Tensor.argsort

    def shaped(x: torch.Tensor, **options) -> torch.Tensor:
        return torch.empty_like(x, dtype=torch.int64) if x.is_meta else argsort(x, **options)

    monkeypatch.setattr(torch.Tensor, "argsort", shaped)
    monkeypatch.setattr(torch, "cummin", lambda x, dim: (x.clone(), None))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    losses = importlib.import_module(f"{rnnt_backend.NAME}.rnnt_loss")
    by_device = rnnt_backend.recursion_by_device(losses.mutual_information_recursion)
    monkeypatch.setattr(losses, "mutual_information_recursion", by_device)
    if rnnt_backend.NAME == "fast_rnnt":
        monkeypatch.setattr(rnnt_backend, "get_rnnt_prune_ranges", _waiting_ranges)


def _waiting_ranges(*words, **options) -> torch.Tensor:
    """fast_rnnt's, which reads the smallest range that all utterances allow: here 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "item", lambda _: 2)
        return _prune_ranges(*words, **options)


def batch_on_meta() -> Batch:
    """A batch as the trainer makes it for a GPU: lengths are on the host."""
    batch = make_batch()
    x, y = batch.features.to(META), batch.symbols.to(META)
    return Batch(x, batch.feature_lens, y, batch.symbol_lens)
