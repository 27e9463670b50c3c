# SPDX-License-Identifier: Apache-2.0
"""The one way from a transcript to words, and from symbols to words.

sentencepiece normalises a text before it spells it (by default Unicode's NFKC and more: composed
letters, no ligatures, a space for a zero-width joiner), and hypotheses are made of what it spells.
So a reference is scored as sentencepiece reads it, not as it was written; and training spells the
very same text. Reserved symbols stand for no sound and can be in no hypothesis: in a text they are
taken for spaces.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import sentencepiece as spm

from emformer.errors import RecipeError

BLANK, SOS_EOS, UNK = "<blk>", "<sos/eos>", "<unk>"
#: Symbols of the tokenizer that stand for no text, by id.
RESERVED = (BLANK, SOS_EOS, UNK)
#: sentencepiece's rules of normalisation, see its ``normalization_rule_name``.
RULES = ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity")
#: Its default, with which all models were trained that do not say.
DEFAULT_RULE = RULES[0]
#: sentencepiece marks the start of a word by this character.
WORD_START = "\u2581"


class TextPipeline:
    """Reads transcripts as a tokenizer does.

    >>> TextPipeline().words("ﬁne<unk> ｗｅｌｌ")
    ['fine', 'well']

    Args:
      rule: Of normalisation, one of :data:`RULES`.

    Raises:
      RecipeError: There is no such rule.
    """

    def __init__(self, rule: str = DEFAULT_RULE) -> None:
        if rule not in RULES:
            raise RecipeError(
                f"texts normalised by {rule!r}: this recipe knows {', '.join(RULES)}; train word "
                "pieces by one of these (run.sh --stage 5)"
            )
        self.rule = rule

    def words(self, transcript: str | None) -> list[str]:
        """The words of a transcript, without reserved symbols; none where there is no text."""
        text = self._normalised(transcript)
        for symbol in RESERVED:
            text = text.replace(symbol, " ")
        return text.split()

    def text(self, transcript: str | None) -> str:
        """:meth:`words`, a space between two."""
        return " ".join(self.words(transcript))

    def reserved_in(self, transcript: str | None) -> str | None:
        """The first of :data:`RESERVED` that a transcript holds, or None."""
        text = self._normalised(transcript)
        return next((symbol for symbol in RESERVED if symbol in text), None)

    def _normalised(self, transcript: str | None) -> str:
        """Normalised until that changes nothing, since the tokenizer will do it once more."""
        before, text = None, transcript or ""
        while text != before:
            before, text = text, _words(_normalizer(self.rule).normalize(" ".join(text.split())))
            text = " ".join(text)
        return text


@functools.cache
def _normalizer(rule: str) -> spm.SentencePieceNormalizer:
    return spm.SentencePieceNormalizer(rule_name=rule)


def join_pieces(pieces: Iterable[str]) -> list[str]:
    """The words that symbols spell; reserved ones are left out."""
    return _words("".join(piece for piece in pieces if piece not in RESERVED))


def _words(text: str) -> list[str]:
    return text.replace(WORD_START, " ").split()
