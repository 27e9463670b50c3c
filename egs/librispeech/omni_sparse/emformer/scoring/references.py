# SPDX-License-Identifier: Apache-2.0
"""Which references a WER was measured against: rates against others are not compared."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from emformer.errors import RecipeError
from emformer.scoring.results import Result, read_results
from emformer.scoring.wer import Utterance, count_errors, read_recogs


def fingerprint(references: Iterable[tuple[str, Sequence[str]]]) -> str:
    """16 hexadecimal digits that change with any word of any utterance, in any order of these.

    Args:
        references: names of utterances, and their words.
    """
    lines = sorted(f"{name}\t{' '.join(words)}\n" for name, words in references)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def read_texts(exp_dir: Path, result: Result) -> list[Utterance] | None:
    """The texts behind a result; None if the file is gone or holds another decoding's."""
    if not result.recogs:
        return None
    try:
        found = read_recogs(exp_dir / result.recogs)
        counts = count_errors(found)
    except RecipeError:
        return None
    return found if counts.errors == result.ins + result.del_ + result.sub else None


def references_of(exp_dir: Path, result: Result) -> str:
    """Fingerprint of a result's references; empty where an older line has none, nor texts."""
    if result.references:
        return result.references
    texts = read_texts(exp_dir, result)
    return fingerprint((u.id, u.ref) for u in texts) if texts else ""


def results_against(exp_dir: Path, references: Mapping[str, str]) -> list[Result]:
    """An experiment's results against these references (fingerprints by split), in order.

    Raises:
        RecipeError: results.jsonl is damaged.
    """
    path = exp_dir / "results.jsonl"
    found = read_results(path) if path.exists() else []
    return [
        r
        for r in found
        if r.split in references and references_of(exp_dir, r) == references[r.split]
    ]


def with_newest_references(exp_dir: Path, results: Sequence[Result]) -> list[Result]:
    """The results whose references are those of the newest result of their split.

    Others are named. Where no line of a split tells its references, all are kept: they are older
    than this, and were all read alike.
    """
    newest = {r.split: r.references for r in results if r.references}
    kept = [
        r for r in results if r.split not in newest or references_of(exp_dir, r) == newest[r.split]
    ]
    if len(kept) < len(results):
        splits = sorted({r.split for r in results} & newest.keys())
        logging.warning(
            f"{exp_dir}/results.jsonl: {len(results) - len(kept)} results against other references "
            f"of {', '.join(splits)} than the newest are left out; decode again to have them"
        )
    return kept
