# SPDX-License-Identifier: Apache-2.0
"""The BPE model of a lang folder."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import sentencepiece as spm
import torch
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from torch import Tensor

from emformer.errors import RecipeError
from emformer.model import BLANK_ID
from emformer.text import BLANK, TextPipeline, join_pieces


def load_tokenizer(lang_dir: Path) -> spm.SentencePieceProcessor:
    """Read ``bpe.model``.

    Raises:
      RecipeError: It is missing, damaged, its blank is not symbol 0, or it normalises texts by
        rules of its own.
    """
    path = lang_dir / "bpe.model"
    if not path.exists():
        raise RecipeError(f"{path}: no such BPE model; make it with run.sh --stage 5")
    tokenizer = spm.SentencePieceProcessor()
    try:
        tokenizer.load(str(path))
    except (OSError, RuntimeError) as e:
        raise RecipeError(f"{path}: not a sentencepiece model; delete it and run stage 5") from e
    if tokenizer.piece_to_id(BLANK) != BLANK_ID:
        raise RecipeError(
            f"{path}: {BLANK} is not symbol {BLANK_ID}; make it with run.sh --stage 5"
        )
    try:
        text_pipeline(tokenizer)
    except RecipeError as e:
        raise RecipeError(f"{path}: {e}") from None
    return tokenizer


@functools.lru_cache(maxsize=8)  # the model is parsed, and this is asked for every batch
def text_pipeline(tokenizer: spm.SentencePieceProcessor) -> TextPipeline:
    """How a tokenizer reads texts.

    Raises:
      RecipeError: It normalises them by rules of its own, which no checkpoint could name.
    """
    model = ModelProto.FromString(tokenizer.serialized_model_proto())
    return TextPipeline(model.normalizer_spec.name)


def symbols(tokenizer: spm.SentencePieceProcessor) -> list[str]:
    """All pieces, by id."""
    return [tokenizer.id_to_piece(i) for i in range(tokenizer.get_piece_size())]


class Spelling(NamedTuple):
    """A transcript in symbols.

    Args:
      ids: The symbols.
      problem: Why they are not the transcript, to be counted; None if they are.
    """

    ids: list[int]
    problem: str | None


def spell(tokenizer: spm.SentencePieceProcessor, transcript: str | None) -> Spelling:
    """Spell a transcript, and read it back as a hypothesis is read."""
    pipeline = text_pipeline(tokenizer)
    words = pipeline.words(transcript)
    ids = tokenizer.encode(" ".join(words), out_type=int)
    reserved = pipeline.reserved_in(transcript)
    if reserved is not None:
        return Spelling(ids, f"the reserved symbol {reserved} in its text")
    if not words:
        return Spelling(ids, "empty text")
    if tokenizer.unk_id() in ids:
        return Spelling(ids, "a character unknown to the BPE model")
    if join_pieces(map(tokenizer.id_to_piece, ids)) != words:
        return Spelling(ids, "a text that the BPE model does not give back")
    return Spelling(ids, None)


def encode_texts(tokenizer: spm.SentencePieceProcessor, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids of shape ``(N, U)``, padded with blank, and their numbers of shape ``(N,)``."""
    read = map(text_pipeline(tokenizer).text, texts)
    ids = [torch.tensor(y, dtype=torch.int64) for y in tokenizer.encode(list(read), out_type=int)]
    lens = torch.tensor([len(y) for y in ids])
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=BLANK_ID)
    return padded, lens
