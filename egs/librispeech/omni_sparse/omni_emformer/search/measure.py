# SPDX-License-Identifier: Apache-2.0
"""Validation loss and word errors of sub-networks, switched within one model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import kaldialign
import torch

from emformer.config import TrainingConfig
from emformer.decoding.model import DecodingInfo
from emformer.decoding.search import make_search
from emformer.model import Transducer
from emformer.training.loss import run_transducer
from omni_emformer.search.data import SearchBatch, SearchData
from omni_plugin.search import Vector

LOSS, WER = "loss", "wer"


class SearchMeasure:
    """Measures a metric of a vector on a part of the data, for the search's evaluator.

    Args:
      running: Opens a vector: within it, the model is that sub-network.
      model: On the device of the data.
      info: Of the model.
      data: What is decoded.
    """

    def __init__(
        self,
        running: Callable[[Vector], AbstractContextManager],
        model: Transducer,
        info: DecodingInfo,
        data: SearchData,
    ) -> None:
        self._running, self._model, self._info, self._data = running, model, info, data
        self._config: TrainingConfig = info.config.training
        self._search = make_search("greedy_search", model)
        self._metrics = {LOSS: self._loss, WER: self._errors}

    @torch.no_grad()
    def __call__(self, vector: Vector, metric: str, part: int) -> tuple[float, float]:
        """A sum over the part's batches, and what to divide it by."""
        with self._running(vector):
            pairs = [self._metrics[metric](batch) for batch in self._data.parts[part]]
        return sum(total for total, _ in pairs), sum(count for _, count in pairs)

    def _loss(self, one: SearchBatch) -> tuple[float, float]:
        """Pruned loss in nats, and encoder frames."""
        out = run_transducer(self._model, one.batch, self._config)
        return float(out.pruned_loss.sum()), int(out.encoder_lens.sum())

    def _errors(self, one: SearchBatch) -> tuple[float, float]:
        """Word errors of greedy search in simulated streaming times 100, and words."""
        encoded, lens = self._model.encode(one.batch.features, one.batch.feature_lens)
        self._search.start(len(one.words))
        self._search.accept(encoded, lens)
        found = map(self._info.words, self._search.hypotheses())
        pairs = zip(one.words, found, strict=True)
        errors = sum(kaldialign.edit_distance(ref, hyp)["total"] for ref, hyp in pairs)
        return 100 * errors, sum(len(words) for words in one.words)
