# SPDX-License-Identifier: Apache-2.0
"""End of stage 8: a table and a plot of what a whole model reached.

Usage:
  python3 -m emformer.report --exp-dir exp/synthetic/dense
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

from emformer.options import Parser

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from emformer.clock import clock
from emformer.errors import RecipeError, run_main
from emformer.experiment.metrics_log import read_records
from emformer.scoring.references import with_newest_references
from emformer.scoring.results import DENSE, Result, read_results

MODES = ("simulated", "chunk-wise")


def newest_results(results: list[Result]) -> list[Result]:
    """The whole model's last result of each split, method and mode, in the table's order."""
    cells = {(r.split, r.method, r.mode): r for r in results if r.subnet == DENSE}
    return sorted(cells.values(), key=lambda r: (r.method, MODES.index(r.mode), r.split))


def wer_table(results: list[Result]) -> str:
    """A Markdown table: a row for each method and mode, a column for each split."""
    splits = sorted({r.split for r in results})
    rows = [
        ["method", "mode", *(f"{split} WER % [95 % interval]" for split in splits), "RTF"],
        ["---"] * (3 + len(splits)),
    ]
    for method, mode in dict.fromkeys((r.method, r.mode) for r in results):
        found = {r.split: r for r in results if (r.method, r.mode) == (method, mode)}
        cells = [_wer_cell(found.get(split)) for split in splits]
        rtf = max(r.rtf for r in found.values())
        rows.append([method, mode, *cells, f"{rtf:.4f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _wer_cell(result: Result | None) -> str:
    if result is None:
        return "-"
    low, high = result.wer_ci95
    return f"{result.wer:.2f} [{low:.2f}, {high:.2f}]"


def facts(result: Result) -> str:
    """What the table's figures come from, as Markdown lines."""
    words = f"{result.num_words} words in {result.num_utts} utterances"
    return "\n".join(
        [
            f"- system {result.system}, corpus {result.corpus}, seed {result.seed}: one training "
            f"run; intervals are over utterances, not over seeds ({result.split}: {words})",
            f"- {result.num_params} parameters, {result.num_nonzero} of them not zero",
            f"- chunk {result.chunk_ms} ms, right context {result.right_context_ms} ms, "
            f"left context {result.left_context_ms} ms",
            f"- trained with {result.train_updates} updates ({result.train_passes} passes) in "
            f"{clock(result.train_seconds)}",
            f"- {result.checkpoint}, code {result.git_revision}",
        ]
    )


def read_metrics(exp_dir: Path) -> list[dict]:
    """What training logged; of an interrupted stretch that was run again, the newer records."""
    records = read_records(exp_dir / "metrics.jsonl")
    newest = {(r["update"], r["group"]): r for r in records}
    return sorted(newest.values(), key=lambda r: r["update"])


def plot(results: list[Result], metrics: list[dict], path: Path) -> None:
    """Learning curves, and WERs with their intervals; ``path`` without a suffix.

    Writes PNG and SVG.
    """
    figure, (curves, bars) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    for group, label, style in (("train", "training", "-"), ("valid", "validation", "o-")):
        found = [r for r in metrics if r["group"] == group and "pruned_loss" in r]
        if found:
            updates, losses = [r["update"] for r in found], [r["pruned_loss"] for r in found]
            curves.plot(updates, losses, style, label=label, markersize=4)
            curves.legend(frameon=False)
    curves.set(title="learning", xlabel="updates", yscale="log")
    curves.set_ylabel("pruned RNN-T loss an encoder frame")

    splits = sorted({r.split for r in results})
    rows = list(dict.fromkeys((r.method, r.mode) for r in results))
    for number, split in enumerate(splits):
        found = [r for r in results if r.split == split]
        shift = 0.15 * (number - (len(splits) - 1) / 2)
        height = [rows.index((r.method, r.mode)) + shift for r in found]
        wer = [r.wer for r in found]
        spread = [[r.wer - r.wer_ci95[0] for r in found], [r.wer_ci95[1] - r.wer for r in found]]
        bars.errorbar(wer, height, xerr=spread, fmt="o", capsize=3, label=split)
    bars.set_yticks(range(len(rows)), [f"{method}\n{mode}" for method, mode in rows], fontsize=8)
    bars.invert_yaxis()
    bars.set(xlabel="WER % with 95 % interval over utterances", title="word error rate")
    bars.set_xlim(left=0)
    bars.legend(frameon=False)
    for axes in (curves, bars):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    plt.close(figure)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "--exp-dir",
        type=Path,
        default=Path("exp/synthetic/dense"),
        help="where training wrote (default exp/synthetic/dense)",
    )
    exp_dir = parser.parse_args().exp_dir
    known = with_newest_references(exp_dir, read_results(exp_dir / "results.jsonl"))
    results = newest_results(known)
    if not results:
        raise RecipeError(f"{exp_dir}/results.jsonl has no result; decode first (stages 7 and 8)")
    text = f"{wer_table(results)}\n\n{facts(results[-1])}\n"
    (exp_dir / "report.md").write_text(text)
    plot(results, read_metrics(exp_dir), exp_dir / "report")
    print(text)
    print(f"plot: {exp_dir}/report.png")


if __name__ == "__main__":
    sys.exit(run_main(main))
