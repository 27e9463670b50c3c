# SPDX-License-Identifier: Apache-2.0
import re
import shutil
from dataclasses import replace

import pytest
import sentencepiece as spm

from emformer.errors import RecipeError
from local.train_bpe_model import main

SENTENCES = [
    "THE CAT SAT ON THE MAT",
    "THE DOG SAT ON THE LOG",
    "A CAT AND A DOG AND A MAN",
    "THE MAN AND THE LOG",
    "NO CAT SAT ON A DOG",
    "ON AND ON AND ON",
]


@pytest.fixture
def corpus(tiny):
    pairs = zip(tiny.supervisions["train"], SENTENCES, strict=True)
    tiny.supervisions["train"] = [replace(s, text=text) for s, text in pairs]
    tiny.supervisions["dev"] = [replace(s, text="ZZZ QQQ") for s in tiny.supervisions["dev"]]
    tiny.save()
    return tiny


def train(corpus, size=20, *more):
    main(corpus.options("--vocab-size", str(size), *more))
    return corpus.data_dir / f"lang_bpe_{size}"


@pytest.fixture(params=["unigram", "bpe"])
def kind(request):
    return request.param


def test_special_tokens_have_icefalls_ids(corpus, kind):
    lang = train(corpus, 20, "--model-type", kind)
    lines = (lang / "tokens.txt").read_text().splitlines()
    assert lines[:3] == ["<blk> 0", "<sos/eos> 1", "<unk> 2"]
    assert [int(line.split()[1]) for line in lines] == list(range(20))


def test_tokens_are_those_of_the_model(corpus, kind):
    lang = train(corpus, 20, "--model-type", kind)
    pieces = spm.SentencePieceProcessor(model_file=str(lang / "bpe.model"))
    tokens = [line.split()[0] for line in (lang / "tokens.txt").read_text().splitlines()]
    assert tokens == [pieces.id_to_piece(n) for n in range(pieces.get_piece_size())]


def test_text_survives_the_round_trip_without_special_tokens(corpus, kind):
    lang = train(corpus, 20, "--model-type", kind)
    pieces = spm.SentencePieceProcessor(model_file=str(lang / "bpe.model"))
    for text in SENTENCES:
        ids = pieces.encode(text)
        assert min(ids) > 2
        assert pieces.decode(ids) == text


def test_text_is_that_of_the_training_splits(corpus):
    lang = train(corpus)
    assert (lang / "transcript_words.txt").read_text().splitlines() == SENTENCES


def test_same_text_same_model(corpus, tmp_path, kind):
    first = train(corpus, 20, "--model-type", kind)
    kept = (first / "bpe.model").read_bytes()
    first.rename(tmp_path / "kept")
    second = train(corpus, 20, "--model-type", kind)
    tokens = (tmp_path / "kept" / "tokens.txt").read_text()
    assert (second / "tokens.txt").read_text() == tokens
    assert (second / "bpe.model").read_bytes() == kept


@pytest.mark.parametrize("name", ["a, b", "50% of ä # b?", "a:b;c=-d", "[x]*", "it's $HOME"])
def test_the_folder_may_have_any_name(corpus, tmp_path, name):
    before = (train(corpus) / "tokens.txt").read_text()
    moved = replace(corpus, data_dir=corpus.data_dir.rename(tmp_path / name))
    shutil.rmtree(moved.data_dir / "lang_bpe_20")
    assert (train(moved) / "tokens.txt").read_text() == before


def test_vocabulary_larger_than_the_text_supports_says_the_largest(corpus, kind):
    with pytest.raises(
        RecipeError, match=r"vocabulary of 500 is more than .* possible is (\d+)"
    ) as e:
        train(corpus, 500, "--model-type", kind)
    assert "\n" not in str(e.value)
    largest = int(re.search(r"possible is (\d+)", str(e.value))[1])
    assert train(corpus, largest, "--model-type", kind).is_dir()
    with pytest.raises(RecipeError, match=f"possible is {largest}"):
        train(corpus, largest + 1, "--model-type", kind)


def test_vocabulary_too_small_says_the_least(corpus, kind):
    with pytest.raises(RecipeError, match=r"vocabulary of 5 has no room .* least is (\d+)") as e:
        train(corpus, 5, "--model-type", kind)
    least = int(re.search(r"(\d+)$", str(e.value))[1])
    assert train(corpus, least, "--model-type", kind).is_dir()


def test_failure_leaves_nothing_behind(corpus):
    with pytest.raises(RecipeError):
        train(corpus, 500)
    assert not list(corpus.data_dir.glob("*lang*"))


def test_second_run_changes_nothing(corpus):
    lang = train(corpus)
    before = {p: p.stat().st_mtime_ns for p in lang.rglob("*")}
    train(corpus)
    assert {p: p.stat().st_mtime_ns for p in lang.rglob("*")} == before


def test_changed_text_trains_again(corpus):
    before = (train(corpus, 22) / "tokens.txt").read_text()
    corpus.supervisions["train"] = [
        replace(s, text=s.text + " XYLOPHONE") for s in corpus.supervisions["train"]
    ]
    corpus.save()
    lang = train(corpus, 22)
    assert (lang / "tokens.txt").read_text() != before
    assert "XYLOPHONE" in (lang / "transcript_words.txt").read_text()


def test_corpus_gives_the_default_size(corpus):
    main(corpus.options())
    assert (corpus.data_dir / "lang_bpe_20" / "bpe.model").is_file()


def test_no_text_at_all(corpus):
    corpus.supervisions["train"] = [replace(s, text="") for s in corpus.supervisions["train"]]
    corpus.save()
    with pytest.raises(RecipeError, match="no text in the training splits"):
        train(corpus)


# Texts that word pieces cannot give back.


def test_texts_that_cannot_be_given_back_are_told_for_every_split(corpus, caplog):
    for split, texts in {"train": ["A <unk>"], "test": ["A CAT", "the cat"]}.items():
        pairs = zip(corpus.supervisions[split], texts, strict=False)
        changed = [replace(s, text=text) for s, text in pairs]
        corpus.supervisions[split][: len(changed)] = changed
    corpus.save()
    for _ in range(2):  # also where the pieces are there already
        caplog.clear()
        train(corpus)
        assert [m for m in caplog.messages if "texts: " in m] == [
            "train: 1 of 6 texts: the reserved symbol <unk> in its text (such as train-0)",
            "dev: 2 of 2 texts: a character unknown to the BPE model (such as dev-0)",
            "test: 1 of 2 texts: a character unknown to the BPE model (such as test-1)",
        ]


def test_reserved_symbols_and_other_forms_of_unicode_do_not_reach_the_pieces(corpus):
    tokens = (train(corpus) / "tokens.txt").read_text()
    for n, s in enumerate(corpus.supervisions["train"]):
        odd = s.text.replace("THE", "\uff34\uff28\uff25")  # full-width
        corpus.supervisions["train"][n] = replace(s, text=f"<unk> {odd}<sos/eos> <blk>")
    corpus.save()
    lang = train(corpus)
    assert (lang / "tokens.txt").read_text() == tokens
    assert (lang / "transcript_words.txt").read_text().splitlines() == SENTENCES


def test_a_line_that_sentencepiece_finds_too_long_counts_too(corpus):
    long = " ".join(["XYLOPHONE"] * 500)  # 5000 bytes
    texts = [*SENTENCES[:-1], long]
    pairs = zip(corpus.supervisions["train"], texts, strict=True)
    corpus.supervisions["train"] = [replace(s, text=text) for s, text in pairs]
    corpus.save()
    assert "X" in (train(corpus, 26) / "tokens.txt").read_text()
