# SPDX-License-Identifier: Apache-2.0
"""Sentences drawn from the context-free grammar of ``grammar.yaml``."""

from __future__ import annotations

import random
from pathlib import Path

import yaml

from emformer.errors import RecipeError

DEFAULT_GRAMMAR = Path(__file__).with_name("grammar.yaml")


class Grammar:
    """A context-free grammar with weighted alternatives and word lists.

    Args:
      rules: Symbol -> alternatives; an alternative is ``"[weight*] token token ..."``.
      words: Symbol -> words separated by white space.
      start: The symbol a sentence starts from.
      spoken: Word -> how a synthesizer must read it, where it would say it otherwise.

    Example:
      >>> g = Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog"})
      >>> g.sentence(random.Random(0))
      'A DOG'
    """

    def __init__(
        self, rules: dict, words: dict, start: str = "SENTENCE", spoken: dict | None = None
    ) -> None:
        self.start = start
        self._spoken = {str(k).upper(): str(v) for k, v in (spoken or {}).items()}
        self._options: dict[str, tuple[list[list[str]], list[int]]] = {}
        for symbol, alternatives in rules.items():
            parsed = [_parse(str(alternative)) for alternative in alternatives]
            self._options[symbol] = ([tokens for _, tokens in parsed], [w for w, _ in parsed])
        for symbol, text in words.items():
            # A word that stands twice in a list would be twice as likely: keep each once.
            unique = list(dict.fromkeys(str(text).split()))
            self._options[symbol] = ([[word] for word in unique], [1] * len(unique))
        self._check()

    @classmethod
    def load(cls, path: Path = DEFAULT_GRAMMAR) -> Grammar:
        """Read a grammar from YAML.

        Raises:
          RecipeError: The file is missing, is no grammar, or a rule names an unknown symbol.
        """
        try:
            data = yaml.safe_load(Path(path).read_text())
            return cls(data["rules"], data["words"], spoken=data.get("spoken"))
        # Of YAML with another layout: TypeError, AttributeError, ValueError, IndexError.
        except (OSError, LookupError, TypeError, AttributeError, ValueError, yaml.YAMLError) as e:
            reason = " ".join(f"{type(e).__name__} {e}".split())
            raise RecipeError(
                f"{path}: not a grammar ({reason}); see local/synthetic/grammar.yaml"
            ) from e

    @property
    def vocabulary(self) -> set[str]:
        """All words the grammar can say, upper case."""
        tokens = {t for options, _ in self._options.values() for option in options for t in option}
        return {t.upper() for t in tokens if t not in self._options}

    def sentence(self, rng: random.Random, start: str | None = None) -> str:
        """One random sentence from ``start``, upper case as in LibriSpeech."""
        return " ".join(self._expand(start or self.start, rng)).upper()

    def to_speak(self, sentence: str) -> str:
        """What a synthesizer is given for a sentence, lower case."""
        return " ".join(self._spoken.get(word, word.lower()) for word in sentence.split())

    def _expand(self, token: str, rng: random.Random) -> list[str]:
        if token not in self._options:
            return [token]
        options, weights = self._options[token]
        chosen = rng.choices(options, weights)[0]
        return [word for t in chosen for word in self._expand(t, rng)]

    def _check(self) -> None:
        for symbol, (options, _) in self._options.items():
            for token in (t for option in options for t in option):
                if token.isupper() and token not in self._options:
                    raise RecipeError(f"grammar: rule {symbol} uses {token}, which is not defined")


def _parse(alternative: str) -> tuple[int, list[str]]:
    tokens = alternative.split()
    if tokens[0].endswith("*"):
        return int(tokens[0][:-1]), tokens[1:]
    return 1, tokens


def draw_sentences(
    grammar: Grammar,
    count: int,
    rng: random.Random,
    avoid: set[str] = frozenset(),
    repeat: bool = False,
    start: str | None = None,
) -> list[str]:
    """``count`` sentences, none of them in ``avoid``.

    Args:
      repeat: Whether a sentence may be drawn again; without it all are different.
      start: The symbol they start from; the grammar's own by default.

    Raises:
      RecipeError: The grammar cannot say that many different sentences.
    """
    sentences: list[str] = []
    seen = set(avoid)
    for _ in range(50 * count):
        if len(sentences) == count:
            break
        sentence = grammar.sentence(rng, start)
        if sentence not in seen:
            sentences.append(sentence)
            if not repeat:
                seen.add(sentence)
    if len(sentences) < count:
        raise RecipeError(
            f"grammar: only {len(sentences)} new sentences in {50 * count} draws, {count} wanted; "
            "ask for fewer utterances or add words to the grammar"
        )
    return sentences
