# SPDX-License-Identifier: Apache-2.0
"""The sentences of the synthetic corpus."""

import random
from pathlib import Path

import pytest

from emformer.errors import RecipeError
from local.synthetic.grammar import Grammar, draw_sentences


@pytest.fixture
def grammar_file(tmp_path) -> Path:
    return tmp_path / "grammar.yaml"


def test_an_unknown_symbol_is_named(grammar_file):
    grammar_file.write_text("rules: {SENTENCE: [the ANIMAL]}\nwords: {COLOUR: red blue}\n")
    with pytest.raises(RecipeError, match="rule SENTENCE uses ANIMAL, which is not defined"):
        Grammar.load(grammar_file)


def test_a_missing_grammar_is_named(grammar_file):
    with pytest.raises(RecipeError, match="grammar.yaml: not a grammar .*No such file"):
        Grammar.load(grammar_file)


@pytest.mark.parametrize(
    "content",
    ["", "rules: {SENTENCE: [a]}", "- a\n- b\n", "rules: [a]\nwords: {A: b}", "rules: {A: [''",
     "rules: {SENTENCE: ['']}\nwords: {A: b}", "rules: {SENTENCE: ['x* a']}\nwords: {A: b}",
     "rules: {SENTENCE: 3}\nwords: {A: b}"],
)  # fmt: skip
def test_a_file_that_is_no_grammar_is_one_line(grammar_file, content):
    grammar_file.write_text(content)
    with pytest.raises(RecipeError, match="grammar.yaml: not a grammar") as e:
        Grammar.load(grammar_file)
    assert "\n" not in str(e.value)


def test_more_sentences_than_the_grammar_can_say_are_refused():
    grammar = Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog cat"})
    with pytest.raises(RecipeError, match="only 2 new sentences in 150 draws, 3 wanted"):
        draw_sentences(grammar, 3, random.Random(0), set())


def test_sentences_to_avoid_are_not_drawn():
    grammar = Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog cat cow"})
    found = draw_sentences(grammar, 2, random.Random(0), {"A DOG"})
    assert sorted(found) == ["A CAT", "A COW"]


def test_sentences_may_repeat_where_asked_for():
    grammar = Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog cat"})
    found = draw_sentences(grammar, 20, random.Random(0), {"A DOG"}, repeat=True)
    assert found == ["A CAT"] * 20


def test_sentences_can_start_from_another_rule():
    grammar = Grammar({"SENTENCE": ["CLAUSE"], "CLAUSE": ["it is"]}, {})
    assert draw_sentences(grammar, 1, random.Random(0), start="CLAUSE") == ["IT IS"]


def test_weights_are_shares_of_the_draws():
    grammar = Grammar({"SENTENCE": ["3* a", "b"]}, {})
    rng = random.Random(0)
    share = sum(grammar.sentence(rng) == "A" for _ in range(4000)) / 4000
    assert share == pytest.approx(0.75, abs=0.03)


def test_a_word_that_stands_twice_is_not_twice_as_likely():
    grammar = Grammar({"SENTENCE": ["WHAT"]}, {"WHAT": "dog dog dog cat"})
    rng = random.Random(0)
    assert sum(grammar.sentence(rng) == "DOG" for _ in range(2000)) == pytest.approx(1000, abs=90)


def test_a_word_is_spoken_as_the_grammar_says(grammar_file):
    grammar_file.write_text("rules: {SENTENCE: [a b]}\nwords: {X: y}\nspoken: {a: ay}\n")
    grammar = Grammar.load(grammar_file)
    assert grammar.to_speak(grammar.sentence(random.Random(0))) == "ay b"
