# SPDX-License-Identifier: Apache-2.0
"""What a split is scored against, looked at before it is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lhotse.cut import Cut

from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.scoring.references import fingerprint
from emformer.text import RESERVED


class _Flaw(NamedTuple):
    """Something that references of a split have, what it means, and where."""

    has: str
    means: str
    examples: list[str]


class References:
    """The references of a split, as the tokenizer reads texts.

    Args:
        split: its name, for messages.
        cuts: its utterances.
        info: of the model that is decoded: how it reads texts, and what it can write.

    Attributes:
        num_utts: utterances.
        fingerprint: changes with any word.

    Raises:
        RecipeError: an utterance does not have exactly one text, or there is no word in all.
    """

    def __init__(self, split: str, cuts: Iterable[Cut], info: DecodingInfo):
        self.split = split
        pieces = (piece for piece in info.tokens if piece not in RESERVED)
        self._letters = set("".join(pieces))
        self._flaws = (
            _Flaw("hold a reserved symbol", "left out of them, as no text can have it", []),
            _Flaw("hold characters that the model cannot write", "their words are errors", []),
            _Flaw("hold no words", "any word heard in them is an error", []),
        )
        references = [(cut.id, self._read(cut, info)) for cut in cuts]
        self.num_utts = len(references)
        if not any(words for _, words in references):
            raise RecipeError(
                f"{split}: no WER: the references of {self.num_utts} utterances hold no words"
            )
        self.fingerprint = fingerprint(references)

    def _read(self, cut: Cut, info: DecodingInfo) -> list[str]:
        if len(cut.supervisions) != 1:
            raise RecipeError(
                f"{self.split}: {cut.id} has {len(cut.supervisions)} texts, it needs one; run "
                "local.validate_manifest (stage 2)"
            )
        text = cut.supervisions[0].text
        words, reserved = info.texts.words(text), info.texts.reserved_in(text)
        unknown = sorted(set("".join(words)) - self._letters)
        found = (
            reserved and f"{reserved} in {cut.id}",
            unknown and f"{unknown[0]!r} in {cut.id}",
            not words and cut.id,
        )
        for flaw, example in zip(self._flaws, found, strict=True):
            if example:
                flaw.examples.append(example)
        return words

    def warnings(self) -> list[str]:
        """A line for each kind of reference that hypotheses cannot match."""
        return [
            f"{self.split}: {len(flaw.examples)} of {self.num_utts} references {flaw.has} "
            f"(such as {flaw.examples[0]}): {flaw.means}"
            for flaw in self._flaws
            if flaw.examples
        ]
