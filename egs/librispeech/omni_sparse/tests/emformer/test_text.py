# SPDX-License-Identifier: Apache-2.0
"""References and hypotheses go the same way: a recogniser without a fault has no errors."""

import unicodedata
from types import SimpleNamespace

import pytest
import torch
from lhotse import CutSet
from lhotse.testing.dummies import dummy_cut, dummy_supervision

from emformer.data.tokenizer import encode_texts, load_tokenizer, spell, symbols, text_pipeline
from emformer.decoding.model import DecodingInfo
from emformer.decoding.references import References
from emformer.decoding.run import DecodingRun, Group, Tally
from emformer.errors import RecipeError
from emformer.scoring.wer import count_errors
from emformer.text import RULES, TextPipeline, join_pieces
from local.train_bpe_model import train

VIETNAMESE = ["tôi không biết tiếng việt", "chào bạn cảm ơn"]
# Texts that sentencepiece does not give back as they were written, and some that it does.
SCRIPTS = {
    "Vietnamese, composed": VIETNAMESE,
    "Vietnamese, decomposed": [unicodedata.normalize("NFD", text) for text in VIETNAMESE],
    "Persian, zero-width non-joiner": ["می\u200cخواهم به خانه بروم", "نمی\u200cدانم چرا"],
    "Thai, sara am": ["น้ำ ทำ"],
    "Hindi, nukta": ["प\u0921\u093cना", "ला\u095cकी"],
    "Korean, jamo": [unicodedata.normalize("NFD", "한글 안녕")],
    "Armenian, ech yiwn": ["ես և դու", "այո և ոչ"],
    "full-width": ["ＡＢＣ １２"],
    "ligatures, ellipsis, fraction": ["well… ﬁne then", "½ of it ﬂew"],
    "zero-width space, soft hyphen": ["zero\u200bwidth", "co\u00adop ok"],
    "no-break and ideographic space": ["a\u00a0b", "c\u3000d", "e\u0085f"],
    "byte order mark": ["\ufeffa b"],
    "marks that normalise twice": ["e\u0344 a"],
    "a character of sentencepiece": ["a\u2581b c"],
    "French": ["l’œuvre d’art", "le cœur n’oublie pas"],
    "German, Turkish": ["straße İstanbul"],
    "angle brackets": ["a <b> c", "x<ab>y x<ab>z", "< >"],
    "reserved symbols": ["well <unk> fine", "<blk> ok", "go<sos/eos>on", "＜unk＞ ok"],
}


@pytest.fixture(scope="module")
def tokenizer_of(tmp_path_factory):
    """Makes word pieces of texts, as many as they allow up to a few more than letters."""

    def make(texts: list[str], kind: str = "bpe", **changes):
        lang = tmp_path_factory.mktemp("lang")
        pipeline = TextPipeline()
        (lang / "text").write_text("".join(pipeline.text(t) + "\n" for t in texts))
        for size in range(4, 200):
            try:
                train(lang / "text", lang / "bpe", size, kind)
                break
            except RecipeError:
                continue
        return load_tokenizer(lang)

    return make


def info_of(tokenizer) -> DecodingInfo:
    rule = text_pipeline(tokenizer).rule
    return DecodingInfo("", None, symbols(tokenizer), "", 0, 0, 0, 0.0, 0.0, "", normalization=rule)


def scored(tokenizer, texts: list[str]) -> list:
    """What a decoding notes of a search that finds the symbols that training has as targets."""
    ids, lens = encode_texts(tokenizer, texts)
    found = [y[:n].tolist() for y, n in zip(ids, lens, strict=True)]
    search = SimpleNamespace(hypotheses=lambda: found)
    run = SimpleNamespace(searches={"perfect": search}, info=info_of(tokenizer))
    names = [str(n) for n in range(len(texts))]
    tally = Tally(["perfect"], torch.device("cpu"))
    DecodingRun.note(run, tally, Group(names, texts, torch.empty(0), torch.empty(0), 1.0))
    return tally.utterances["perfect"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("texts", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_perfect_recogniser_has_no_errors(tokenizer_of, texts, kind):
    counts = count_errors(scored(tokenizer_of(texts, kind), texts))
    assert counts.errors == 0 and counts.num_words > 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_text_that_only_looks_alike_is_the_same_text(name):
    """NFC and NFD are the same to a reader, and so are they here."""
    pipeline = TextPipeline()
    for text in SCRIPTS[name]:
        for form in ("NFC", "NFD"):
            assert pipeline.words(unicodedata.normalize(form, text)) == pipeline.words(text)


def test_an_error_is_still_an_error(tokenizer_of):
    tokenizer = tokenizer_of(SCRIPTS["Vietnamese, decomposed"])
    (one,) = scored(tokenizer, SCRIPTS["Vietnamese, decomposed"][:1])
    other = info_of(tokenizer).texts.words(SCRIPTS["Vietnamese, composed"][1])
    assert count_errors([one._replace(hyp=other)]).errors == 5


def test_plain_text_is_as_it_was_written():
    text = "AND SO IT'S A DOG'S LIFE [noise] <noise> a < b > c 1/2 naïve"
    assert TextPipeline().words(text) == text.split()
    assert TextPipeline().text(f"  {text} \n") == text


@pytest.mark.parametrize("text", [None, "", "  ", "\u200b", "\ufeff\u200e", "<unk>"])
def test_a_text_without_words(text):
    assert TextPipeline().words(text) == []


@pytest.mark.parametrize("symbol", ["<blk>", "<sos/eos>", "<unk>"])
def test_a_reserved_symbol_is_named_and_no_word(symbol):
    pipeline = TextPipeline()
    for text in (f"a {symbol} b", f"a{symbol}b", f"a {symbol}{symbol} b"):
        assert pipeline.reserved_in(text) == symbol
        assert pipeline.words(text) == ["a", "b"]
    assert pipeline.reserved_in("a <b> < unk >") is None


def test_only_reserved_symbols_are_silent_in_hypotheses():
    pieces = ["\u2581x", "<ab>", "y", "<blk>", "<unk>", "<sos/eos>", "\u2581<", "noise", ">"]
    assert join_pieces(pieces) == ["x<ab>y", "<noise>"]


@pytest.mark.parametrize(
    "rule, words",
    [("identity", ["ＡＢ", "e\u0301"]), ("nfkc", ["AB", "é"]), ("nmt_nfkc_cf", ["ab", "é"])],
)
def test_texts_are_read_by_the_rule_of_the_tokenizer(tmp_path, rule, words):
    import sentencepiece as spm

    (tmp_path / "text").write_text("ＡＢ e\u0301\n")
    spm.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "bpe"), vocab_size=12,
        model_type="bpe", hard_vocab_limit=False, normalization_rule_name=rule,
        user_defined_symbols=["<blk>", "<sos/eos>"], unk_id=2, bos_id=-1, eos_id=-1,
        minloglevel=2,
    )  # fmt: skip
    tokenizer = load_tokenizer(tmp_path)
    assert text_pipeline(tokenizer).rule == rule and rule in RULES
    (one,) = scored(tokenizer, ["ＡＢ e\u0301"])
    assert one.ref == one.hyp == words


def test_rules_of_ones_own_are_refused(tmp_path):
    import sentencepiece as spm

    (tmp_path / "rules.tsv").write_text("41\t42\n")  # A becomes B
    (tmp_path / "text").write_text("A B C\n")
    spm.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "bpe"), vocab_size=12,
        model_type="bpe", hard_vocab_limit=False, bos_id=-1, eos_id=-1, unk_id=2,
        normalization_rule_tsv=str(tmp_path / "rules.tsv"),
        user_defined_symbols=["<blk>", "<sos/eos>"], minloglevel=2,
    )  # fmt: skip
    with pytest.raises(RecipeError, match="bpe.model: texts normalised by 'user_defined'"):
        load_tokenizer(tmp_path)


# What cannot be given back.


def test_spelling_tells_why_a_text_is_not_given_back(tokenizer_of):
    tokenizer = tokenizer_of(["AB A B"])
    assert spell(tokenizer, "ＡＢ") == (spell(tokenizer, "AB").ids, None)
    assert spell(tokenizer, "AB C").problem == "a character unknown to the BPE model"
    assert spell(tokenizer, "A <blk>").problem == "the reserved symbol <blk> in its text"
    assert spell(tokenizer, "\u200b").problem == spell(tokenizer, None).problem == "empty text"


def test_pieces_that_are_bytes_do_not_give_a_text_back(tmp_path):
    import sentencepiece as spm

    (tmp_path / "text").write_text("AB A B\n")
    spm.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "bpe"), vocab_size=300,
        model_type="bpe", hard_vocab_limit=False, byte_fallback=True, unk_id=2, bos_id=-1,
        eos_id=-1, user_defined_symbols=["<blk>", "<sos/eos>"], minloglevel=2,
    )  # fmt: skip
    tokenizer = load_tokenizer(tmp_path)
    assert spell(tokenizer, "AB").problem is None
    assert spell(tokenizer, "AB \u4e16").problem == "a text that the BPE model does not give back"


def cut(number: int, *texts: str | None):
    supervisions = [dummy_supervision(n, text=text) for n, text in enumerate(texts)]
    return dummy_cut(number, supervisions=supervisions)


def test_references_that_no_hypothesis_can_match_are_counted(tokenizer_of):
    info = info_of(tokenizer_of(["AB A B"]))
    texts = ["AB A", "ab", "A c", "A <unk> B", None, "ＡＢ"]
    cuts = CutSet.from_cuts(cut(n, text) for n, text in enumerate(texts))
    found = References("dev", cuts, info)
    assert found.num_utts == 6
    assert found.warnings() == [
        "dev: 1 of 6 references hold a reserved symbol (such as <unk> in dummy-mono-cut-0003): "
        "left out of them, as no text can have it",
        "dev: 2 of 6 references hold characters that the model cannot write (such as 'a' in "
        "dummy-mono-cut-0001): their words are errors",
        "dev: 1 of 6 references hold no words (such as dummy-mono-cut-0004): any word heard in "
        "them is an error",
    ]
    assert References("dev", [cut(0, "AB A")], info).warnings() == []


def test_references_are_told_apart_by_their_words_not_their_order_or_spelling(tokenizer_of):
    info = info_of(tokenizer_of(["AB A B"]))
    one = References("x", [cut(0, "AB"), cut(1, "A")], info).fingerprint
    assert References("x", [cut(1, "Ａ"), cut(0, " ＡＢ ")], info).fingerprint == one
    assert References("x", [cut(0, "AB"), cut(1, "B")], info).fingerprint != one
    assert References("x", [cut(0, "AB"), cut(2, "A")], info).fingerprint != one


@pytest.mark.parametrize(
    "cuts, message",
    [
        ([], "x: no WER: the references of 0 utterances hold no words"),
        ([cut(0, "\u200b"), cut(1, None)], "the references of 2 utterances hold no words"),
        ([cut(0, "A"), cut(1)], "x: dummy-mono-cut-0001 has 0 texts, it needs one"),
        ([cut(0, "A", "B")], "x: dummy-mono-cut-0000 has 2 texts, it needs one"),
    ],
)
def test_a_split_without_a_wer_is_refused(tokenizer_of, cuts, message):
    with pytest.raises(RecipeError, match=message):
        References("x", cuts, info_of(tokenizer_of(["AB A B"])))
