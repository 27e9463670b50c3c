# SPDX-License-Identifier: Apache-2.0
"""Word errors, and the files icefall users expect: recogs-, errs- and wer-summary-*.txt."""

import ast
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TextIO

import kaldialign

from emformer.errors import RecipeError

_NOTHING = ""  # in an alignment; no word is empty, while "*" (what is printed) could be one


class Utterance(NamedTuple):
    """One recognised utterance."""

    id: str
    ref: list[str]
    hyp: list[str]


@dataclass(frozen=True)
class ErrorCounts:
    """Word errors over a set of utterances; `ins`, `dels` and `subs` are counts of words."""

    ins: int
    dels: int
    subs: int
    num_words: int
    num_utts: int

    @property
    def errors(self) -> int:
        return self.ins + self.dels + self.subs

    @property
    def wer(self) -> float:
        """Errors in percent of the reference words."""
        return 100.0 * self.errors / self.num_words

    def line(self, name: str) -> str:
        """The line of the log, in icefall's form."""
        return (
            f"[{name}] %WER {self.wer:.2f}% [{self.errors} / {self.num_words}, "
            f"{self.ins} ins, {self.dels} del, {self.subs} sub ]"
        )


def _align(utterance: Utterance) -> list[tuple[str, str]]:
    return kaldialign.align(utterance.ref, utterance.hyp, _NOTHING)


def count_errors(utterances: Sequence[Utterance]) -> ErrorCounts:
    """Count insertions, deletions and substitutions of the best alignments.

    Raises:
        RecipeError: there is not one reference word, so that no rate is defined.
    """
    ins = dels = subs = 0
    for utterance in utterances:
        distance = kaldialign.edit_distance(utterance.ref, utterance.hyp)
        ins, dels, subs = ins + distance["ins"], dels + distance["del"], subs + distance["sub"]
    num_words = sum(len(u.ref) for u in utterances)
    if num_words == 0:
        raise RecipeError(f"no WER: the references of {len(utterances)} utterances hold no words")
    return ErrorCounts(ins, dels, subs, num_words, len(utterances))


def write_recogs(path: Path, utterances: Iterable[Utterance]) -> None:
    """Two lines an utterance: `id:<tab>ref=[...]` and `id:<tab>hyp=[...]`, as Python lists."""
    with _whole_file(path) as f:
        for u in utterances:
            print(f"{u.id}:\tref={list(u.ref)}", file=f)
            print(f"{u.id}:\thyp={list(u.hyp)}", file=f)


def read_recogs(path: Path) -> list[Utterance]:
    """Read a recogs file, ours or icefall's (timestamp lines are skipped).

    Raises:
        RecipeError: the file is missing, or a line is not of the form above.
    """
    refs: dict[str, list[str]] = {}
    hyps: dict[str, list[str]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise RecipeError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from None
    for number, line in enumerate(lines, start=1):
        name, colon, rest = line.rpartition(":\t")
        kind, equals, words = rest.partition("=")
        if kind.startswith("timestamp_"):
            continue
        table = {"ref": refs, "hyp": hyps}.get(kind)
        parsed = _word_list(words) if colon and equals else None
        if table is None or parsed is None or name in table:
            raise RecipeError(f"{path}, line {number}: not (or twice) 'id:<tab>ref=[...]' or hyp=")
        table[name] = parsed
    if refs.keys() != hyps.keys() or not refs:
        odd = sorted(refs.keys() ^ hyps.keys())
        raise RecipeError(
            f"{path}: no pair of ref and hyp for {odd[0] if odd else 'any utterance'}"
        )
    return [Utterance(name, refs[name], hyps[name]) for name in refs]


def _word_list(text: str) -> list[str] | None:
    try:
        words = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    ok = isinstance(words, list) and all(isinstance(w, str) for w in words)
    return words if ok else None


def write_errs(path: Path, utterances: Sequence[Utterance]) -> ErrorCounts:
    """Write the error analysis and return its counts.

    The parts: rate, counts, every utterance with `(ref->hyp)` where they differ (`*` for
    nothing), then substitutions, deletions, insertions and words, the most frequent first.
    """
    alignments = [_align(u) for u in utterances]
    pairs = Counter(pair for alignment in alignments for pair in alignment)
    counts = count_errors(utterances)
    with _whole_file(path) as f:
        print(f"%WER = {counts.wer:.2f}", file=f)
        print(
            f"Errors: {counts.ins} insertions, {counts.dels} deletions, {counts.subs} "
            f"substitutions, over {counts.num_words} reference words "
            f"({sum(n for (r, h), n in pairs.items() if r == h)} correct)",
            file=f,
        )
        print(
            "Search below for sections starting with PER-UTT DETAILS:, SUBSTITUTIONS:, "
            "DELETIONS:, INSERTIONS:, PER-WORD STATS:",
            file=f,
        )
        print("\nPER-UTT DETAILS: corr or (ref->hyp)  ", file=f)
        for utterance, alignment in zip(utterances, alignments, strict=True):
            print(f"{utterance.id}:\t{_marked(alignment)}", file=f)
        _write_pairs(f, pairs)
        _write_words(f, pairs)
    return counts


def _marked(alignment: list[tuple[str, str]]) -> str:
    """Correct words as they are; a run of wrong ones as one `(ref->hyp)`."""
    parts = []
    for correct, run in groupby(alignment, key=lambda pair: pair[0] == pair[1]):
        refs, hyps = zip(*run, strict=True)
        if correct:
            parts.extend(refs)
        else:
            sides = (" ".join(filter(None, side)) or "*" for side in (refs, hyps))
            parts.append(f"({'->'.join(sides)})")
    return " ".join(parts)


def _write_pairs(f: TextIO, pairs: Counter) -> None:
    wrong = [(n, ref, hyp) for (ref, hyp), n in pairs.items() if ref != hyp]
    wrong.sort(reverse=True)
    print("\nSUBSTITUTIONS: count ref -> hyp", file=f)
    for n, ref, hyp in wrong:
        if ref and hyp:
            print(f"{n}   {ref} -> {hyp}", file=f)
    print("\nDELETIONS: count ref", file=f)
    for n, ref, hyp in wrong:
        if not hyp:
            print(f"{n}   {ref}", file=f)
    print("\nINSERTIONS: count hyp", file=f)
    for n, ref, hyp in wrong:
        if not ref:
            print(f"{n}   {hyp}", file=f)


def _write_words(f: TextIO, pairs: Counter) -> None:
    correct, errors, in_ref, in_hyp = Counter(), Counter(), Counter(), Counter()
    for (ref, hyp), n in pairs.items():
        in_ref[ref] += n
        in_hyp[hyp] += n
        if ref == hyp:
            correct[ref] += n
        else:
            errors[ref] += n
            errors[hyp] += n
    print("\nPER-WORD STATS: word  corr tot_errs count_in_ref count_in_hyp", file=f)
    words = (in_ref.keys() | in_hyp.keys()) - {_NOTHING}
    for word in sorted(words, key=lambda w: (errors[w], w), reverse=True):
        print(f"{word}   {correct[word]} {errors[word]} {in_ref[word]} {in_hyp[word]}", file=f)


def write_summary(path: Path, wers: dict[str, float]) -> None:
    """Write `settings<tab>WER`, the best setting first; WER in percent."""
    with _whole_file(path) as f:
        print("settings\tWER", file=f)
        for settings, wer in sorted(wers.items(), key=lambda item: item[1]):
            print(f"{settings}\t{wer:.2f}", file=f)


class _whole_file:
    """Open a text file for writing that only takes its name once it is complete."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")

    def __enter__(self) -> TextIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.temporary, "w", encoding="utf-8")
        return self.file

    def __exit__(self, kind, value, traceback) -> None:
        self.file.close()
        if kind is None:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink()
