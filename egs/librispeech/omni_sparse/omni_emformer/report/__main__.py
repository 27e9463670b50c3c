# SPDX-License-Identifier: Apache-2.0
"""Stage 11: every experiment's results in one page of verdicts, tables and plots, and as HTML.

Experiments of one system are its seeds and levels: figures are means over the seeds, costs sums
over the levels. The first experiment is the reference: differences are to its model as it was
trained, on the same utterances. Only results of the checkpoint that an experiment decoded last are
shown.

Usage:
  python3 -m omni_emformer.report --exp-dirs exp/synthetic/dense exp/synthetic/omni \\
    --out exp/synthetic

Reads results.jsonl (all figures), recogs files (differences), metrics.jsonl (training curves),
run.sh and sweep.json (commands), environment.json (versions) and, where a search was, its front and
plots. Writes <out>/RESULTS.md and, each as PNG and SVG, <out>/wer-<method>-<mode>,
<out>/layer-sparsity, <out>/training-curves and copies of a search's plots; and <out>/report.html:
page and plots in one file, light or dark as the reader's browser is.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from emformer.errors import RecipeError, run_main
from emformer.experiment.whole_file import write_whole
from emformer.options import Parser
from omni_emformer.report.experiments import Experiment, read_experiment
from omni_emformer.report.html import html_page
from omni_emformer.report.page import page
from omni_emformer.report.plots import plot_curves, plot_layers, plot_wer
from omni_emformer.report.runs import Runs
from omni_emformer.report.searches import searches


def write_report(experiments: list[Experiment], out: Path, command: str = "") -> Path:
    """Write tables and plots of experiments, the reference first; returns RESULTS.md.

    Raises:
      RecipeError: They are of different corpora or test sets, or the file of a search is damaged.
    """
    out.mkdir(parents=True, exist_ok=True)
    runs = Runs(experiments)
    plots = {ways: plot_wer(runs, ways, out) for ways in runs.ways()}
    more = {"layers": plot_layers(runs, out), "curves": plot_curves(runs, out)}
    path = out / "RESULTS.md"
    text = page(runs, plots, more, searches(runs, out), command)
    write_whole(path, text)
    write_whole(out / "report.html", html_page(text, out))
    return path


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "--exp-dirs", type=Path, nargs="+", required=True, metavar="DIR", help="reference first"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of RESULTS.md and plots")
    args = parser.parse_args()
    twice = {folder for folder in args.exp_dirs if args.exp_dirs.count(folder) > 1}
    if twice:
        raise RecipeError(f"--exp-dirs names {twice.pop()} twice; once is enough")
    experiments = [read_experiment(folder) for folder in args.exp_dirs]
    words = ["--exp-dirs", *map(str, args.exp_dirs), "--out", str(args.out)]
    command = shlex.join(["python3", "-m", "omni_emformer.report", *words])
    path = write_report(experiments, args.out, command)
    print(f"wrote {path}, its plots beside it, and all in one file, {args.out / 'report.html'}")


if __name__ == "__main__":
    sys.exit(run_main(main))
