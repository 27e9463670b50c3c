# SPDX-License-Identifier: Apache-2.0
import pytest

from emformer.data.corpus import known_corpora, load_corpus
from emformer.errors import RecipeError
from local.corpus import main

GOOD = "prefix: mine\ntrain: [a, b]\ndev: [c]\ntest: [d]\nvocab_size: 50\n"


@pytest.mark.parametrize("name", known_corpora())
def test_shipped_corpora_load_and_keep_training_apart(name):
    corpus = load_corpus(name)
    assert corpus.name == name
    assert corpus.sample_rate == 16000
    assert not set(corpus.train) & set(corpus.dev + corpus.test)


def test_the_promised_corpora_are_there():
    promised = {"synthetic", "fsdd", "an4", "mini_librispeech", "librispeech", "librispeech_100"}
    promised |= {"kaldi", "quick", "spelled"}
    assert promised <= set(known_corpora())


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(RecipeError, match="unknown corpus 'libre'.*fsdd.*librispeech_100"):
        load_corpus("libre")


def test_own_yaml_by_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + "musan: true\n")
    corpus = load_corpus(path)
    assert (corpus.name, corpus.prefix, corpus.musan) == ("mine", "mine", True)
    assert corpus.splits == ("a", "b", "c", "d")


def test_a_split_that_is_both_dev_and_test_is_listed_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("[d]", "[c]"))
    assert load_corpus(path).splits == ("a", "b", "c")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("prefix: mine\n", "", "'prefix' is missing"),
        ("prefix: mine", "prefix: [x]", "'prefix' must be a word"),
        ("[a, b]", "{a: 1}", "'train' must be a list"),
        ("vocab_size: 50", "vocab_size: many", "'vocab_size' must be a positive whole number"),
        ("vocab_size: 50", "vocab_size: 50\nmusan: 1", "'musan' must be true or false"),
        (
            "vocab_size: 50",
            "vocab_size: 50\nperturb_speed: 2",
            "'perturb_speed' must be true or false",
        ),
        *(
            ("vocab_size: 50", f"vocab_size: 50\nspeeds: {bad}", "'speeds' must be a list of fact")
            for bad in ("0.9", "[]", "[0.9, 1.0]", "[3.0]", "[fast]")
        ),
        ("vocab_size: 50", "vocab_size: 50\ncolour: red", "unknown field colour"),
        ("[a, b]", "[a, b", "not YAML"),
    ],
)
def test_bad_yaml_is_told_in_one_line(tmp_path, old, new, message):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(RecipeError, match=message) as e:
        load_corpus(path)
    assert "\n" not in str(e.value)


def test_absent_file():
    with pytest.raises(RecipeError, match="no such corpus file"):
        load_corpus("nowhere/mine.yaml")


@pytest.mark.parametrize(
    ("field", "printed"),
    [("prefix", "fsdd"), ("test", "test-clean test-other"), ("musan", "false")],
)
def test_get_prints_one_value_for_the_shell(capsys, field, printed):
    main(["fsdd", "--get", field])
    assert capsys.readouterr().out == printed + "\n"
