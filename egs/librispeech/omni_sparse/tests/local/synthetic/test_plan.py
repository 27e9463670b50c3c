# SPDX-License-Identifier: Apache-2.0
"""The plan of the synthetic corpus: who says what in which split."""

import re

import pytest

from emformer.errors import RecipeError
from local.synthetic import corpus as synthetic
from local.synthetic.corpus import corpus_dir, fingerprint, plan_corpus, read_speakers
from local.synthetic.grammar import Grammar
from tests.support.synthetic_plan import HELD_OUT, SIZES


def test_the_plan_is_a_function_of_the_seed(plan):
    assert plan_corpus(SIZES, seed=0) == plan


def test_another_seed_is_another_plan(plan):
    other = plan_corpus(SIZES, seed=1)
    for split, utterances in plan.items():
        assert {u.text for u in other[split]} != {u.text for u in utterances}


def test_every_split_has_the_size_asked_for(plan):
    assert {split: len(utterances) for split, utterances in plan.items()} == SIZES


def test_a_larger_training_split_leaves_the_others_as_they_are(plan):
    larger = plan_corpus({**SIZES, "train": 400}, seed=0)
    for split in ("dev", "test-clean", "test-other"):
        assert larger[split] == plan[split]


def test_the_search_split_changes_none_of_the_others(plan):
    without = plan_corpus({s: size for s, size in SIZES.items() if s != "search"}, seed=0)
    assert without == {split: plan[split] for split in without}


def test_a_sentence_of_a_held_out_split_is_said_once_in_the_whole_corpus(plan):
    held_out = [u.text for split in HELD_OUT for u in plan[split]]
    assert len(set(held_out)) == len(held_out)
    assert not set(held_out) & {u.text for u in plan["train"]}


def test_utterances_have_names_of_their_own(plan):
    names = [u.id for utterances in plan.values() for u in utterances]
    assert len(set(names)) == len(names)


def test_no_variant_of_a_held_out_split_is_heard_in_training(plan):
    variants = {
        split: {u.voice.name.split("+")[1].lower() for u in utterances}
        for split, utterances in plan.items()
    }
    listed = read_speakers(corpus_dir("synthetic"))
    for split in HELD_OUT:
        assert not variants[split] & variants["train"]
        both = {v.lower() for v in listed[split]["variants"]}
        assert not both & {v.lower() for v in listed["train"]["variants"]}


def test_no_variant_of_a_test_split_is_heard_in_another():
    listed = read_speakers(corpus_dir("synthetic"))
    for split in ("test-clean", "test-other"):
        others = {v.lower() for s, at in listed.items() if s != split for v in at["variants"]}
        assert not {v.lower() for v in listed[split]["variants"]} & others


def test_words_of_the_test_splits_can_be_said_in_training(plan):
    known = Grammar.load().vocabulary
    for utterances in plan.values():
        assert {word for u in utterances for word in u.text.split()} <= known


def test_texts_are_upper_case_words(plan):
    for utterances in plan.values():
        assert all(re.fullmatch(r"[A-Z']+( [A-Z']+)*", u.text) for u in utterances)


def test_a_split_without_speakers_is_named():
    with pytest.raises(RecipeError, match="no speakers for split 'test-noisy'"):
        plan_corpus({"test-noisy": 3}, seed=0)


def test_the_fingerprint_covers_sizes_seed_and_files(tmp_path, monkeypatch):
    found = {fingerprint(SIZES, 0), fingerprint(SIZES, 1), fingerprint({**SIZES, "dev": 41}, 0)}
    assert len(found) == 3
    for name in ("grammar.yaml", "speakers.yaml", "corpus.py"):
        (tmp_path / name).write_text("a: 1\n")
    monkeypatch.setattr(synthetic, "__file__", str(tmp_path / "corpus.py"))
    for name in ("grammar.yaml", "speakers.yaml", "corpus.py"):
        before = fingerprint(SIZES, 0)
        (tmp_path / name).write_text("a: 2\n")
        assert fingerprint(SIZES, 0) != before


def test_the_fingerprint_takes_no_notice_of_an_editors_leftovers(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "__file__", str(tmp_path / "corpus.py"))
    before = fingerprint(SIZES, 0)
    (tmp_path / ".corpus.py.swp").write_bytes(b"\xff\xfe\x00")
    assert fingerprint(SIZES, 0) == before


# The small corpora.


@pytest.fixture(scope="module", params=["quick", "spelled"])
def small_plan(request):
    folder = corpus_dir(request.param)
    sizes = {split: at["utterances"] for split, at in read_speakers(folder).items()}
    return plan_corpus(sizes, 0, folder)


def test_no_sentence_of_a_small_test_is_said_in_training(small_plan):
    texts = {split: {u.text for u in said} for split, said in small_plan.items()}
    assert len(texts["test-clean"]) == len(small_plan["test-clean"]) >= 150
    assert not texts["test-clean"] & (texts["train"] | texts["dev"])


def test_a_small_test_has_voices_of_its_own(small_plan):
    voices = {split: {u.voice.name.lower() for u in said} for split, said in small_plan.items()}
    assert not voices["test-clean"] & (voices["train"] | voices["dev"])


def test_every_word_of_a_small_test_is_said_in_training(small_plan):
    words = {split: {w for u in said for w in u.text.split()} for split, said in small_plan.items()}
    assert words["test-clean"] <= words["train"]


def test_recordings_have_pauses_where_the_speakers_file_says_so(plan):
    assert not any(u.pauses for said in plan.values() for u in said)
    folder = corpus_dir("spelled")
    assert all(u.pauses for said in plan_corpus({"dev": 5}, 0, folder).values() for u in said)


def test_corpora_of_other_folders_have_other_fingerprints():
    assert fingerprint(SIZES, 0) != fingerprint(SIZES, 0, corpus_dir("quick"))
