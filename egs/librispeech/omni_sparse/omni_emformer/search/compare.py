# SPDX-License-Identifier: Apache-2.0
"""Chosen sub-networks on the test splits, which the search never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emformer.scoring.bootstrap import pair_up, paired_difference
from emformer.scoring.references import read_texts, with_newest_references
from emformer.scoring.results import CHUNK_WISE, Result, read_results
from omni_emformer.search.results import Choice
from omni_plugin.report import markdown_table
from omni_plugin.search import UNIFORM

# What the search has decoded; the folder may hold other decodings of the same sub-networks.
_METHOD = "greedy_search"
_NOTHING = "-"


def compare(exp_dir: Path, weights: dict[str, str], choices: Sequence[Choice]) -> str:
    """Word error rates of the chosen sub-networks, and what they gain over the uniform ones.

    Args:
      exp_dir: Has their results.
      weights: Fingerprint of each sub-network by its name.
      choices: What was chosen.
    """
    known = with_newest_references(exp_dir, read_results(exp_dir / "results.jsonl"))
    results: dict[tuple[str, str], Result] = {
        (r.weights, r.split): r for r in known if (r.method, r.mode) == (_METHOD, CHUNK_WISE)
    }
    splits = sorted({split for _, split in results})
    head = ["split", "budget", "chosen by", "sub-network", "non-zero parameters", "WER % [95 %]"]
    rows = []
    for split in splits:
        for choice in choices:
            for method, name in choice.names.items():
                result = results.get((weights[name], split))
                uniform = results.get((weights[choice.names[UNIFORM]], split))
                if result is not None and uniform is not None:
                    cells = [split, f"uniform {choice.level:.2f}", method, name]
                    low, high = result.wer_ci95
                    cells += [
                        f"{result.num_nonzero:,}",
                        f"{result.wer:.2f} [{low:.2f}, {high:.2f}]",
                    ]
                    rows.append([*cells, _gain(exp_dir, uniform, result)])
    return markdown_table([*head, "against uniform [95 %]"], rows, text_columns=4)


def _gain(exp_dir: Path, uniform: Result, result: Result) -> str:
    if result is uniform:
        return _NOTHING
    a, b = read_texts(exp_dir, uniform), read_texts(exp_dir, result)
    if a is None or b is None:
        return _NOTHING
    d = paired_difference(*pair_up(a, b))
    share = f" ({100 * d.mean / uniform.wer:+.1f} %)" if uniform.wer else ""
    return f"{d.mean:+.2f}{share} [{d.low:+.2f}, {d.high:+.2f}]"
