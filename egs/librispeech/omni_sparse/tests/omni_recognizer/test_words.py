# SPDX-License-Identifier: Apache-2.0
"""Words and their times."""

import itertools
import random

from emformer.text import RESERVED, WORD_START, join_pieces
from omni_recognizer import words as module
from omni_recognizer.words import timed_words


def test_marks_and_reserved_symbols_are_the_recipes():
    assert (module.RESERVED, module.WORD_START) == (RESERVED, WORD_START)


def test_a_word_lasts_from_its_first_frame_to_the_end_of_its_last():
    words = timed_words(["\u2581ONE", "\u2581T", "HREE"], [3, 10, 14], frame_ms=40)
    assert [(w.text, w.start, w.end) for w in words] == [("ONE", 0.12, 0.16), ("THREE", 0.4, 0.6)]
    assert words[1].tokens == ["\u2581T", "HREE"] and words[1].timestamps == [0.4, 0.56]


def test_the_length_of_a_frame_is_the_models():
    (word,) = timed_words(["\u2581ONE"], [5], frame_ms=60)
    assert (word.start, word.end) == (0.3, 0.36)


def test_a_mark_alone_begins_the_word_after_it():
    (word,) = timed_words(["\u2581", "A", "T"], [7, 9, 10], frame_ms=40)
    assert (word.text, word.start, word.tokens) == ("AT", 0.28, ["\u2581", "A", "T"])


def test_a_mark_after_a_word_does_not_prolong_it():
    words = timed_words(["\u2581A", "\u2581", "B"], [1, 8, 9], frame_ms=40)
    assert [(w.text, w.start, w.end) for w in words] == [("A", 0.04, 0.08), ("B", 0.32, 0.4)]


def test_reserved_symbols_are_no_words():
    assert timed_words(["<unk>", "<sos/eos>"], [1, 2], 40) == []
    (word,) = timed_words(["\u2581A", "<unk>"], [1, 5], 40)
    assert (word.text, word.end) == ("A", 0.08)


def test_no_word_is_said_after_the_sound():
    (word,) = timed_words(["\u2581A", "B"], [2, 30], 40, limit=1.1)
    assert (word.start, word.end, word.timestamps) == (0.08, 1.1, [0.08, 1.1])


def test_words_are_those_that_the_symbols_spell():
    pieces = ["\u2581", "\u2581A", "B", "C\u2581D", "\u2581\u2581E", "<unk>", "F\u2581"]
    rng = random.Random(0)
    for _ in range(300):
        tokens = rng.choices(pieces, k=rng.randrange(9))
        words = timed_words(tokens, range(len(tokens)), 40)
        assert [w.text for w in words] == join_pieces(tokens)
        assert all(w.start < w.end for w in words)
        assert all(a.start <= b.start for a, b in itertools.pairwise(words))
