#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the word pieces: data_dir/lang_bpe_<V>/{bpe.model,tokens.txt,transcript_words.txt}.

Usage:
    python3 -m local.train_bpe_model --corpus librispeech_100 --data-dir data/librispeech_100

Ids as in icefall: <blk> 0, <sos/eos> 1, <unk> 2. The text is that of the training splits; texts of
any split that its word pieces cannot give back are counted, as no WER can hold for them. Training
again with the same text and settings changes nothing; the folder appears only when complete.
"""

from __future__ import annotations

import logging
import re
import shutil
import sys
from pathlib import Path

import sentencepiece as spm

from emformer.data.corpus import Corpus, load_corpus
from emformer.data.manifests import manifest_paths, read_manifest
from emformer.data.store import atomic_path, is_done, mark_done
from emformer.data.tokenizer import load_tokenizer, spell
from emformer.errors import RecipeError, run_main
from emformer.options import Parser, add_data_options, positive_int, start_logging, str2bool
from emformer.text import BLANK, DEFAULT_RULE, RESERVED, SOS_EOS, UNK, TextPipeline

FILES = ("bpe.model", "tokens.txt", "transcript_words.txt")
_LONGEST_LINE = 4192  # bytes, sentencepiece's own limit


def training_text(corpus: Corpus, data_dir: Path, allow_missing: bool) -> str:
    """The transcripts of the training splits, one a line."""
    pipeline, lines = TextPipeline(), []
    for split in corpus.train:
        path = manifest_paths(data_dir, corpus.prefix, split).supervisions
        if allow_missing and not path.is_file():
            logging.warning("%s: no manifest, left out", split)
            continue
        for supervision in read_manifest(path, hint="run stage 1 (manifests)"):
            if text := pipeline.text(supervision.text):
                lines.append(text)
    if not lines:
        raise RecipeError(
            f"no text in the training splits of {corpus.name} to train word pieces on"
        )
    return "\n".join(lines) + "\n"


def train(text_path: Path, prefix: Path, vocab_size: int, model_type: str) -> None:
    """Write ``prefix``.model.

    Raises:
        RecipeError: the text does not support so many pieces, or so few; says which number it does.
    """
    try:
        spm.SentencePieceTrainer.train(
            # Not by the file's name, which would end at a comma.
            sentence_iterator=iter(text_path.read_text(encoding="utf-8").rstrip("\n").split("\n")),
            model_prefix=str(prefix),
            vocab_size=vocab_size,
            model_type=model_type,
            normalization_rule_name=DEFAULT_RULE,
            # sentencepiece leaves out longer lines, and says so to nobody.
            max_sentence_length=max(_LONGEST_LINE, _longest_line(text_path)),
            character_coverage=1.0,  # the alphabet is small; no letter may become <unk>
            user_defined_symbols=[BLANK, SOS_EOS],
            unk_id=RESERVED.index(UNK),
            bos_id=-1,
            eos_id=-1,
            input_sentence_size=0,  # all of it: sampling would make the outcome depend on a seed
            num_threads=1,  # sums over threads would make it depend on their number
            minloglevel=2,
        )
    except RuntimeError as e:  # sentencepiece raises nothing more specific
        raise RecipeError(_explain(str(e), vocab_size)) from e


def _longest_line(path: Path) -> int:
    """Bytes of the longest line."""
    return max(map(len, path.read_bytes().splitlines()))


def _explain(message: str, vocab_size: int) -> str:
    """One line for sentencepiece's refusal of a vocabulary size."""
    too_high = re.search(r"set it to a value <= (\d+)", message)
    if too_high:
        return (
            f"vocabulary of {vocab_size} is more than the training text supports; "
            f"the largest possible is {too_high[1]} (vocab_size in the corpus's YAML file)"
        )
    too_low = re.search(r"smaller than required_chars\. \d+ vs (\d+)", message)
    if too_low:
        return f"vocabulary of {vocab_size} has no room for all letters; the least is {too_low[1]}"
    return f"sentencepiece failed: {' '.join(message.split())}"


def write_tokens(model: Path, path: Path) -> None:
    """Write "piece id" lines, checking the ids that the recipe relies on."""
    pieces = spm.SentencePieceProcessor(model_file=str(model))
    for n, symbol in enumerate(RESERVED):
        if pieces.id_to_piece(n) != symbol:
            raise RecipeError(f"{model}: {symbol} has id {pieces.piece_to_id(symbol)}, not {n}")
    size = pieces.get_piece_size()
    lines = (f"{pieces.id_to_piece(n)} {n}\n" for n in range(size))
    path.write_text("".join(lines), encoding="utf-8")


def report_problems(corpus: Corpus, data_dir: Path, lang_dir: Path) -> None:
    """Tell how many texts of each split the word pieces cannot give back, and why."""
    tokenizer = load_tokenizer(lang_dir)
    for split in corpus.splits:
        path = manifest_paths(data_dir, corpus.prefix, split).supervisions
        if not path.is_file():  # other stages tell
            continue
        supervisions = read_manifest(path, hint="run stage 1 (manifests)")
        examples: dict[str, list[str]] = {}
        for supervision in supervisions:
            if problem := spell(tokenizer, supervision.text).problem:
                examples.setdefault(problem, []).append(supervision.id)
        for problem, names in sorted(examples.items()):
            logging.warning(
                "%s: %d of %d texts: %s (such as %s)",
                split, len(names), len(supervisions), problem, names[0],
            )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    add_data_options(parser)
    parser.add_argument("--vocab-size", type=positive_int, help="default: that of the corpus")
    parser.add_argument(
        "--model-type",
        choices=["bpe", "unigram"],
        default="unigram",
        help="of sentencepiece (default unigram)",
    )
    parser.add_argument(
        "--allow-missing", type=str2bool, default=False, help="leave out splits without manifests"
    )
    args = parser.parse_args(argv)
    start_logging()

    corpus = load_corpus(args.corpus)
    data_dir = Path(args.data_dir)
    vocab_size = args.vocab_size or corpus.vocab_size
    lang_dir = data_dir / f"lang_bpe_{vocab_size}"
    text = training_text(corpus, data_dir, args.allow_missing)
    facts = {"vocab_size": vocab_size, "model_type": args.model_type}
    outputs = [lang_dir / name for name in FILES]
    if is_done(lang_dir / ".done", facts, outputs):
        if outputs[-1].read_text(encoding="utf-8") == text:
            logging.info("%s is already there", lang_dir)
            report_problems(corpus, data_dir, lang_dir)
            return 0
    with atomic_path(lang_dir) as temporary:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        (temporary / "transcript_words.txt").write_text(text, encoding="utf-8")
        train(temporary / "transcript_words.txt", temporary / "bpe", vocab_size, args.model_type)
        (temporary / "bpe.vocab").unlink(missing_ok=True)  # tokens.txt says it
        write_tokens(temporary / "bpe.model", temporary / "tokens.txt")
        mark_done(temporary / ".done", facts)
    logging.info("%s: %d pieces", lang_dir, vocab_size)
    report_problems(corpus, data_dir, lang_dir)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
