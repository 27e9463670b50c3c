# SPDX-License-Identifier: Apache-2.0
"""The utterances that sub-networks are chosen on, held in memory."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from lhotse.cut import Cut

from emformer.config import Config
from emformer.data.asr_datamodule import AsrDataModule, batch_texts
from emformer.data.cut_filter import CutFilter
from emformer.data.tokenizer import encode_texts, load_tokenizer, symbols, text_pipeline
from emformer.errors import RecipeError
from emformer.training.loss import Batch

_FIRST_SECONDS = 600.0  # of audio, on which every sub-network is scored
_MAX_DURATION = 120.0  # seconds in a batch, with padding; larger ones are slower on a CPU


class SearchBatch(NamedTuple):
    """Utterances that are run at once.

    Args:
      batch: Features and symbols.
      words: Reference words of each utterance.
    """

    batch: Batch
    words: list[list[str]]


class SearchData:
    """The search set in two parts, a small one for all sub-networks and the rest for the best.

    Args:
      data: The corpus.
      config: Of the model.
      tokens: Symbols of the model.
      lang_dir: Has the BPE model; by default, as in training.
      device: Where batches are held.

    Attributes:
      parts: Batches of each part; the second part is missing where the first holds all.
      fingerprint: Changes with the utterances.

    Raises:
      RecipeError: The set is empty, or the BPE model is another than the model's.
    """

    def __init__(
        self,
        data: AsrDataModule,
        config: Config,
        tokens: Sequence[str],
        lang_dir: Path | None,
        device: torch.device,
    ) -> None:
        lang_dir = lang_dir or data.data_dir / f"lang_bpe_{data.corpus.vocab_size}"
        tokenizer = load_tokenizer(lang_dir)
        if symbols(tokenizer) != list(tokens):
            raise RecipeError(f"{lang_dir}: its symbols are not those of the checkpoint")
        cut_filter, pipeline = CutFilter(config, tokenizer), text_pipeline(tokenizer)
        cuts = list(cut_filter.keep(data.search_cuts()))
        logging.info(cut_filter.report("searching"))
        if not cuts:
            why = f" ({cut_filter.reasons()})" if cut_filter.dropped else ""
            raise RecipeError(f"{data.data_dir}: there are no utterances to search on{why}")
        parts = _in_parts(cuts)
        self.num_utts, self.seconds = len(cuts), sum(cut.duration for cut in cuts)
        self.first_utts = len(parts[0])
        names = "\n".join(
            f"{cut.id} {pipeline.text(cut.supervisions[0].text)}" for part in parts for cut in part
        )
        self.fingerprint = hashlib.sha256(names.encode()).hexdigest()[:16]
        self.parts: list[list[SearchBatch]] = []
        for part in parts:
            batches = []
            for raw in data.plain_dataloader(part, _MAX_DURATION):
                texts = batch_texts(raw)
                lens = raw["supervisions"]["num_frames"].long()
                tensors = (raw["inputs"], lens, *encode_texts(tokenizer, texts))
                words = [pipeline.words(text) for text in texts]
                batches.append(SearchBatch(Batch(*(t.to(device) for t in tensors)), words))
            self.parts.append(batches)

    def describe(self) -> str:
        """What is searched on, to read."""
        return (
            f"{self.num_utts} utterances of {self.seconds:.0f} s, of which {self.first_utts} come "
            "first"
        )


def _in_parts(cuts: list[Cut]) -> list[list[Cut]]:
    """In an order that has nothing to do with speakers: the first seconds, and the others."""
    cuts = sorted(cuts, key=lambda cut: (zlib.crc32(cut.id.encode()), cut.id))
    seconds, first = 0.0, 0
    while first < len(cuts) and seconds < _FIRST_SECONDS:
        seconds += cuts[first].duration
        first += 1
    return [cuts[:first], cuts[first:]] if first < len(cuts) else [cuts]
