# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from lhotse import CutSet, SupervisionSegment
from lhotse.testing.dummies import dummy_cut

from emformer.config import Config, ModelConfig, TrainingConfig
from emformer.data.cut_filter import CutFilter
from emformer.data.tokenizer import load_tokenizer

# Chunks of 4 encoder frames of 40 ms.
CONFIG = Config(ModelConfig(segment=4), TrainingConfig(min_duration=0.5, max_cut_duration=10.0))
TEXT = "the dog"


@pytest.fixture(scope="module")
def tokenizer(tiny_data):
    return load_tokenizer(tiny_data / "lang_bpe_64")


@pytest.fixture
def cut_filter(tokenizer):
    return CutFilter(CONFIG, tokenizer)


def make_cut(number: int = 0, seconds: float = 3.0, text: str | None = None, texts: int = 1):
    text = TEXT.upper() if text is None else text
    supervisions = [
        SupervisionSegment(f"s{number}-{i}", f"r{number}", 0.0, seconds, text=text)
        for i in range(texts)
    ]
    return dummy_cut(number, duration=seconds, supervisions=supervisions)


REASONS = [
    ("not exactly one supervision", {"texts": 0}),
    ("not exactly one supervision", {"texts": 2}),
    ("empty text", {"text": ""}),
    ("empty text", {"text": "  "}),
    ("empty text", {"text": "\u200b"}),
    ("the reserved symbol <blk> in its text", {"text": "THE <blk> DOG"}),
    ("the reserved symbol <sos/eos> in its text", {"text": "THE DOG<sos/eos>"}),
    ("the reserved symbol <unk> in its text", {"text": "<unk>"}),
    ("shorter than 0.5 s", {"seconds": 0.49}),
    ("longer than 10.0 s", {"seconds": 10.01}),
    ("a character unknown to the BPE model", {"text": "THE \u4e16"}),
    ("more symbols than encoder frames", {"seconds": 0.5, "text": "ABCDEFGH " * 9}),
]


@pytest.mark.parametrize("reason, spoilt", REASONS)
def test_each_reason_against_a_cut(cut_filter, reason, spoilt):
    cut = make_cut(**spoilt)
    assert cut_filter.reason_against(cut) == reason
    assert not cut_filter(cut)


@pytest.mark.parametrize("seconds", [0.5, 3.0, 10.0])
def test_a_good_cut_is_kept_up_to_the_bounds(cut_filter, seconds):
    assert cut_filter(make_cut(seconds=seconds))


def test_a_cut_without_text_is_left_out(cut_filter):
    cut = make_cut()
    cut.supervisions[0].text = None
    assert cut_filter.reason_against(cut) == "empty text"


@pytest.mark.parametrize("more, kept", [(0, True), (1, False)])
def test_as_many_symbols_as_encoder_frames_is_the_limit(tokenizer, more, kept):
    # 0.6 s are 60 frames, in whole chunks of 16: 64, thus 16 encoder frames.
    pieces = (tokenizer.id_to_piece(i) for i in range(3, tokenizer.get_piece_size()))
    words = [piece[1:] for piece in pieces if piece.startswith("\u2581") and len(piece) > 1]
    word = next(w for w in words if len(tokenizer.encode(f"{w} {w} {w}")) == 3)
    text = " ".join([word] * (16 + more))
    assert len(tokenizer.encode(text)) == 16 + more
    assert CutFilter(CONFIG, tokenizer)(make_cut(seconds=0.6, text=text)) is kept


def test_counting_and_the_report_tell_every_reason(cut_filter):
    cuts = [make_cut(n, **spoilt) for n, (_, spoilt) in enumerate(REASONS)]
    cuts += [make_cut(100), make_cut(101, seconds=6.0)]
    cut_filter.count(CutSet.from_cuts(cuts))
    assert cut_filter.num_kept == 2 and cut_filter.seconds_kept == pytest.approx(9.0)
    assert sum(cut_filter.dropped.values()) == len(REASONS)
    report = cut_filter.report()
    assert report.startswith("training on 2 of 14 cuts, 0.00 h; left out: ")
    assert cut_filter.report("validating") == report.replace("training", "validating")
    assert "\n" not in report
    assert "3 empty text" in report and "2 not exactly one supervision" in report
    for reason, _ in REASONS:
        assert reason in report


def test_what_is_kept_is_counted_as_it_is_taken(cut_filter):
    cuts = [make_cut(1), make_cut(2, text=""), make_cut(3)]
    assert list(cut_filter.keep(cuts)) == [cuts[0], cuts[2]]
    assert cut_filter.num_kept == 2 and cut_filter.reasons() == "1 empty text"


def test_a_text_in_another_form_of_unicode_is_as_long_as_it_is_spelt(cut_filter):
    assert cut_filter(make_cut(text="\uff34\uff28\uff25 DOG"))  # full-width THE


def test_with_nothing_left_out_the_report_says_only_what_is_kept(cut_filter):
    cut_filter.count([make_cut(seconds=9.0)] * 400)
    assert cut_filter.report() == "training on 400 of 400 cuts, 1.00 h"


def test_longer_chunks_cover_a_cut_with_more_frames(tokenizer):
    text = "ABCDEFGH " * 2
    symbols = len(tokenizer.encode(text))
    seconds = 0.04 * (symbols - 1)  # one frame too few, before the last chunk is filled up
    config = replace(CONFIG, training=replace(CONFIG.training, min_duration=0.0))
    cut = make_cut(seconds=seconds, text=text)
    assert not CutFilter(replace(config, model=ModelConfig(segment=1)), tokenizer)(cut)
    assert CutFilter(replace(config, model=ModelConfig(segment=symbols)), tokenizer)(cut)
