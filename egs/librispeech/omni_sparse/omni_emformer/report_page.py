# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md: the text of a report."""

from __future__ import annotations

from collections.abc import Mapping

from emformer.progress import clock
from emformer.results import DENSE
from omni_emformer.report_runs import Runs, Ways
from omni_plugin.report import markdown_table, size_table, wer_table


def page(runs: Runs, plots: Mapping[Ways, str], more: Mapping[str, str], command: str) -> str:
    """The whole text.

    Args:
      runs: What it reports.
      plots: File of the plot of each way of decoding; empty if there is none.
      more: Files of the plots ``layers`` and ``curves``; empty if there is none.
      command: What makes the page.
    """
    sections = [
        f"# Results: {runs.experiments[0].newest.corpus}",
        _head(runs),
        *(_wer_section(runs, ways, plot) for ways, plot in plots.items()),
        f"## Training\n\n{_budget(runs)}",
        _curves(more["curves"]),
        f"## Size\n\n{_sizes(runs)}",
        _layers(more["layers"]),
        _commands(runs, command),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _head(runs: Runs) -> str:
    tests = [
        f"{split}: {r.num_utts:,} utterances, {r.num_words:,} words"
        for split, r in runs.splits().items()
    ]
    windows = {
        f"chunk {r.chunk_ms:g} ms, right context {r.right_context_ms:g} ms, left context "
        f"{r.left_context_ms:g} ms"
        for e in runs.experiments
        for r in e.results
    }
    decoding = sorted({str(r.git_revision) for e in runs.experiments for r in e.results})
    training = sorted({e.revision for e in runs.experiments})
    return "\n".join(
        [
            f"- {_seeds(runs)}; intervals are over utterances of one run, not over seeds.",
            "- Word error rates (WER) in percent, with 95 % bootstrap intervals. Differences to "
            f"{runs.reference} are paired over utterances; **bold** where their interval leaves "
            "out zero.",
            *(f"- {line}." for line in tests),
            f"- Streaming: {'; '.join(sorted(windows))}.",
            f"- Code: trained at {', '.join(training)}; decoded at {', '.join(decoding)}.",
        ]
    )


def _seeds(runs: Runs) -> str:
    seeds: dict[str, set[int]] = {}
    for e in runs.experiments:
        for r in e.results:
            seeds.setdefault(r.system, set()).add(r.seed)
    counts = sorted({len(found) for found in seeds.values()})
    number = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    named = ", ".join(f"{s} {' '.join(map(str, sorted(n)))}" for s, n in seeds.items())
    return f"{number} seed{'s' if counts[-1] > 1 else ''} a system ({named})"


def _wer_section(runs: Runs, ways: Ways, plot: str) -> str:
    table = wer_table(runs.points(ways), runs.reference)
    picture = f"![WER against size]({plot})" if plot else ""
    return "\n\n".join(filter(None, [f"## WER: {ways.title}", table, picture]))


def _budget(runs: Runs) -> str:
    head = ["system", "checkpoint", "seed", "updates", "passes", "wall-clock of training"]
    rows = []
    for e in runs.experiments:
        r = e.newest
        time = f"{clock(r.train_seconds)} ({r.train_seconds:.0f} s)"
        numbers = [str(r.seed), f"{r.train_updates:,}", f"{r.train_passes:,}", time]
        systems = ", ".join(runs.systems_of(e).values())
        rows.append([systems, r.checkpoint, *numbers])
    note = (
        "A pass is one forward and backward of one (sub-)network over one batch, or over its part "
        "of it. Systems in one row come from one training."
    )
    return f"{markdown_table(head, rows, text_columns=2)}\n\n{note}"


def _sizes(runs: Runs) -> str:
    points = [p for ways in runs.ways() for p in runs.points(ways, with_differences=False)]
    return "\n\n".join(filter(None, [size_table(points), _coverage(runs)]))


def _coverage(runs: Runs) -> str:
    lines = []
    for e in runs.experiments:
        for system, label in runs.systems_of(e).items():
            found = e.coverage(system)
            if found and any(r.subnet != DENSE for r in e.results if r.system == system):
                share = found["num_params"] / e.newest.num_params
                lines.append(
                    f"- {label}: pattern {found['pattern']} covers {found['num_params']:,} "
                    f"parameters in {found['num_weights']} matrices, {100 * share:.1f} % of the "
                    "model. A sub-network's name is the share of zeros among these."
                )
    return "\n".join(lines)


def _curves(plot: str) -> str:
    if not plot:
        return ""
    return f"![validation loss of each sub-network over training]({plot})"


def _layers(plot: str) -> str:
    return f"![share of zeros in each layer]({plot})" if plot else ""


def _commands(runs: Runs, command: str) -> str:
    lines = []
    for e in runs.experiments:
        lines += [f"# {', '.join(runs.systems_of(e).values())}", *e.commands()]
    lines += ["# this page", command]
    return "## Commands\n\n```\n" + "\n".join(lines) + "\n```"
