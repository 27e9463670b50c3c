# SPDX-License-Identifier: Apache-2.0
"""Results that nothing was decoded for, and what a report's page says of them."""

from __future__ import annotations

from pathlib import Path

from emformer.scoring.results import Result, append_result
from emformer.scoring.wer import Utterance, count_errors, write_recogs
from omni_emformer.report.networks import Ways

#: Non-zero parameters of the sub-networks.
SIZES = {"dense": 1000, "0.50": 600, "0.90": 280}
GREEDY = Ways("greedy_search", "", "chunk-wise")


def utterances(errors: int, seed: str = "") -> list[Utterance]:
    """20 utterances of 5 words, in so many of which a word is wrong."""
    ref = ["ONE", "TWO", "THREE", "FOUR", "FIVE"]
    return [
        Utterance(f"utt-{n:02}{seed}", ref, [*ref[:4], "SIX"] if n < errors else ref)
        for n in range(20)
    ]


def add_result(folder: Path, system: str, subnet: str, errors: int, **changes) -> Result:
    """A line of results.jsonl, and the texts behind it."""
    split = changes.get("split", "test-clean")
    found = utterances(errors, split)
    folder.mkdir(parents=True, exist_ok=True)
    counts = count_errors(found)
    recogs = f"streaming/greedy_search/recogs-{split}-{system}-{subnet}.txt"
    (folder / recogs).parent.mkdir(parents=True, exist_ok=True)
    write_recogs(folder / recogs, found)
    zeros = float(subnet) if subnet.startswith("0.") else 0.0
    values = {
        "system": system, "corpus": "synthetic", "split": split, "method": "greedy_search",
        "mode": "chunk-wise", "chunk_ms": 320, "right_context_ms": 40, "left_context_ms": 960,
        "wer": counts.wer, "ins": counts.ins, "del_": counts.dels, "sub": counts.subs,
        "num_words": 100, "num_utts": 20, "num_params": 1000, "num_nonzero": SIZES[subnet],
        "sparsity": zeros, "levels": [zeros] * 2,
        "train_updates": 500, "train_passes": 700, "train_seconds": 75.5, "seed": 0,
        "checkpoint": str(folder / "epoch-6.pt"), "config": str(folder / "config.yaml"),
        "git_revision": "abc123", "rtf": 0.01,
        "wer_ci95": [counts.wer - 1, counts.wer + 1], "subnet": subnet, "settings": {},
        "weights": f"{folder.name}-{system}-{subnet}", "recogs": recogs,
    }  # fmt: skip
    result = Result(**{**values, **changes})
    append_result(folder / "results.jsonl", result)
    return result


def section(text: str, title: str) -> list[list[str]]:
    """Rows of the first table after a heading."""
    lines = text[text.index(f"## {title}") :].splitlines()
    table = []
    for line in lines[1:]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.split("|")[1:-1]])
        elif table:
            break
    return table[:1] + table[2:]
