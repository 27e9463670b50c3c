# SPDX-License-Identifier: Apache-2.0
"""The BPE model of a lang folder."""

from __future__ import annotations

from pathlib import Path

import sentencepiece as spm
import torch
from torch import Tensor

from emformer.errors import RecipeError
from emformer.model import BLANK_ID


def load_tokenizer(lang_dir: Path) -> spm.SentencePieceProcessor:
    """Read ``bpe.model``.

    Raises:
      RecipeError: It is missing, damaged, or its blank is not symbol 0.
    """
    path = lang_dir / "bpe.model"
    if not path.exists():
        raise RecipeError(f"{path}: no such BPE model; make it with run.sh --stage 5")
    tokenizer = spm.SentencePieceProcessor()
    try:
        tokenizer.load(str(path))
    except (OSError, RuntimeError) as e:
        raise RecipeError(f"{path}: not a sentencepiece model; delete it and run stage 5") from e
    if tokenizer.piece_to_id("<blk>") != BLANK_ID:
        raise RecipeError(f"{path}: <blk> is not symbol {BLANK_ID}; make it with run.sh --stage 5")
    return tokenizer


def symbols(tokenizer: spm.SentencePieceProcessor) -> list[str]:
    """All pieces, by id."""
    return [tokenizer.id_to_piece(i) for i in range(tokenizer.get_piece_size())]


def encode_texts(tokenizer: spm.SentencePieceProcessor, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids of shape ``(N, U)``, padded with blank, and their numbers of shape ``(N,)``."""
    ids = [torch.tensor(y, dtype=torch.int64) for y in tokenizer.encode(texts, out_type=int)]
    lens = torch.tensor([len(y) for y in ids])
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=BLANK_ID)
    return padded, lens
