# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md: the text of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emformer.clock import clock
from emformer.scoring.results import DENSE
from omni_emformer.report.claims import ON_PAR, Claims, percent
from omni_emformer.report.costs import cost_of
from omni_emformer.report.networks import Ways
from omni_emformer.report.runs import Runs
from omni_emformer.report.summary import summary
from omni_plugin.report import markdown_table, size_table, wer_table


def page(
    runs: Runs,
    plots: Mapping[Ways, str],
    more: Mapping[str, str],
    searches: Sequence[str],
    command: str,
) -> str:
    """The whole text.

    Args:
      runs: What it reports.
      plots: File of the plot of each way of decoding; empty if there is none.
      more: Files of the plots ``layers`` and ``curves``; empty if there is none.
      searches: A section each.
      command: What makes the page.
    """
    claims = Claims(runs, next(iter(plots)))
    main, *others = plots
    single = [w for w in others if len({(p.system, p.subnet) for p in runs.points(w, False)}) == 1]
    sections = [
        f"# Results: {runs.experiments[0].newest.corpus}",
        summary(runs, main),
        _head(runs),
        _set_apart(runs),
        _mute(runs, main),
        _verdicts(claims),
        _wer_section(runs, main, plots[main]),
        f"## Training\n\n{_budget(runs)}",
        _picture("validation loss of each sub-network over training", more["curves"]),
        *(_wer_section(runs, w, plots[w]) for w in others if w not in single),
        _one_network(runs, single),
        _by_size(claims),
        f"## Size\n\n{_sizes(runs)}",
        _picture("share of zeros in each layer", more["layers"]),
        *searches,
        _made(runs, command),
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
            f"- {_seeds(runs)}",
            "- Word error rates (WER) in percent, the mean over a system's seeds, with 95 % "
            f"intervals. Differences to {runs.reference} are paired over utterances and seeds; "
            "**bold** where their interval leaves out zero.",
            *(f"- {line}." for line in tests),
            f"- Streaming: {'; '.join(sorted(windows))}.",
            f"- Code: trained at {', '.join(training)}; decoded at {', '.join(decoding)}.",
        ]
    )


def _seeds(runs: Runs) -> str:
    seeds = {label: sorted({r.seed for _, r in runs.results_of(label)}) for label in runs.systems}
    counts = sorted({len(found) for found in seeds.values()})
    number = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    named = ", ".join(f"{label} {' '.join(map(str, found))}" for label, found in seeds.items())
    over = "intervals are over utterances of one run, not over seeds."
    if counts[-1] > 1:
        over = (
            "intervals are over utterances (bootstrap of Bisani and Ney, 2004) and, where a system "
            "has several seeds, over these (Student's t)."
        )
    return f"{number} seed{'s' if counts[-1] > 1 else ''} a system ({named}); {over}"


def _set_apart(runs: Runs) -> str:
    """Systems that were trained otherwise, which a reader must know before any table."""
    lines = [f"- **{label}**: {'; '.join(why)}" for label, why in runs.set_apart().items()]
    if not lines:
        return ""
    note = f"Trained otherwise than {runs.reference}, so that no difference to it is given:"
    return "\n".join(["## Set apart", "", note, "", *lines])


def _mute(runs: Runs, ways: Ways) -> str:
    lines = []
    for split in runs.splits():
        found = [one for one in runs.decoded(ways, split) if one.is_mute]
        lines += [
            f"- **{one.system}, {one.any.subnet}** on {split}: WER {one.rate.mean:.2f} %, "
            f"{100 * one.missing:.1f} % of the words are missing"
            for one in found
        ]
    if not lines:
        return ""
    note = "These networks say next to nothing, or nothing that is right; no claim rests on them:"
    return "\n".join(["## Mute", "", note, "", *lines])


def _verdicts(claims: Claims) -> str:
    rows = [
        (one.system, one.claim, one.measured, f"**{one.verdict}**") for one in claims.verdicts()
    ]
    if not rows:
        return ""
    table = markdown_table(["system", "published claim", "measured", "verdict"], rows, 4)
    par = f"{100 * ON_PAR:+.0f} %"
    note = (
        f"By {claims.ways.title}. Percentages are differences of the mean WER over the sizes that "
        "both systems have (of supernets without the full one), relative to the other system's and "
        "with 95 % intervals; below zero, the claim's system is better. *Better* is reproduced "
        "where the interval lies below zero, and not reproduced where it lies above. *On par* is "
        f"reproduced where it ends below {par}, and not reproduced where it else lies above zero, "
        f"or that of any one size above {par}. A claim must hold on each test set. Of 1 seed, "
        "intervals leave out how much trainings differ."
    )
    return f"## Verdicts\n\n{table}\n\n{note}"


def _by_size(claims: Claims) -> str:
    compared = claims.by_size()
    if not compared:
        return ""
    splits = list(claims.runs.splits())
    rows = [
        [one.system, one.other, one.sizes[0], *(percent(one.found[split]) for split in splits)]
        for one in compared
    ]
    head = ["system", "against", "size", *(f"{split} [95 %]" for split in splits)]
    table = markdown_table(head, rows, text_columns=3)
    return f"## The verdicts' differences, size by size\n\n{table}"


def _wer_section(runs: Runs, ways: Ways, plot: str) -> str:
    table = wer_table(runs.points(ways), runs.reference)
    return "\n\n".join(
        filter(None, [f"## WER: {ways.title}", table, _picture("WER against size", plot)])
    )


def _one_network(runs: Runs, ways: list[Ways]) -> str:
    """Ways in which only one network was decoded, a row each."""
    if not ways:
        return ""
    splits = list(runs.splits())
    rows = []
    for way in ways:
        found = {p.split: p for p in runs.points(way, with_differences=False)}
        name = next(iter(found.values())).system
        cells = [
            f"{p.wer:.2f} [{p.low:.2f}, {p.high:.2f}]" if (p := found.get(split)) else "-"
            for split in splits
        ]
        rows.append([name, way.title, *cells])
    head = ["system", "decoding", *(f"{split} WER % [95 %]" for split in splits)]
    return f"## WER: decoded otherwise\n\n{markdown_table(head, rows, text_columns=2)}"


def _budget(runs: Runs) -> str:
    """What each system cost, for all of its sizes."""
    whole = cost_of(runs, runs.reference)
    head = ["system", "sizes", "trainings", "updates", "passes", "whole passes"]
    head += [f"/ {runs.reference}'s", "wall-clock", f"/ {runs.reference}'s"]
    rows = []
    for label in runs.systems:
        cost = cost_of(runs, label)
        if cost is None:
            sizes = str(len(runs.networks(label)))
            rows.append([f"{label}: of another's training", sizes, *["-"] * 7])
            continue
        share = [cost.whole_passes / whole.whole_passes, cost.seconds / whole.seconds]
        numbers = [cost.updates, cost.passes, cost.whole_passes]
        rows.append(
            [label, str(cost.sizes), f"{cost.trainings:g}", *(f"{n:,.0f}" for n in numbers)]
            + [f"{share[0]:.2f}", clock(cost.seconds), f"{share[1]:.2f}"]
        )
    note = (
        "Each row is what all sizes of a system take together, for one seed (the mean over its "
        "seeds). A pass is one forward and backward of one (sub-)network over one batch, or over "
        "its part of it. As whole passes, each counts as the share of its batch, and of the "
        "model's layers, that it runs. A pass of a smaller dense model is a whole one."
    )
    return f"{markdown_table(head, rows)}\n\n{note}"


def _sizes(runs: Runs) -> str:
    points = [p for ways in runs.ways() for p in runs.points(ways, with_differences=False)]
    return "\n\n".join(filter(None, [size_table(points), _coverage(runs)]))


def _coverage(runs: Runs) -> str:
    """What the sparsities are shares of; systems with the same pattern share a line."""
    lines: dict[str, list[str]] = {}
    for label in runs.systems:
        for e, r in runs.results_of(label):
            found = e.coverage(r.system)
            if found and r.subnet != DENSE:
                share = found["num_params"] / r.num_params
                text = (
                    f"pattern {found['pattern']} covers {found['num_params']:,} parameters in "
                    f"{found['num_weights']} matrices, {100 * share:.1f} % of the model. A "
                    "sub-network's name is the share of zeros among these."
                )
                if label not in lines.setdefault(text, []):
                    lines[text].append(label)
    return "\n".join(f"- {', '.join(labels)}: {text}" for text, labels in lines.items())


def _picture(text: str, plot: str) -> str:
    return f"![{text}]({plot})" if plot else ""


def _made(runs: Runs, command: str) -> str:
    """How all was made: versions, and the commands, which tell the seeds."""
    lines = []
    for e in runs.experiments:
        systems = list(dict.fromkeys(r.system for r in e.results))
        lines += [f"# {e.folder.name}: {', '.join(systems)}", *e.commands()]
    lines += ["# this page", command]
    text = "```\n" + "\n".join(lines) + "\n```"
    details = f"<details><summary>{len(lines)} lines</summary>\n\n{text}\n\n</details>"
    return "\n\n".join(filter(None, ["## Commands", _versions(runs), details]))


def _versions(runs: Runs) -> str:
    """Of Python and packages that trained; with the folders' names where these differ."""
    found: dict[str, list[str]] = {}
    for e in runs.experiments:
        text = ", ".join(f"{name} {version}" for name, version in e.versions.items())
        if text:
            found.setdefault(text, []).append(e.folder.name)
    if len(found) == 1:
        return f"Trained with {next(iter(found))}."
    return "\n".join(f"- {', '.join(names)}: trained with {text}" for text, names in found.items())
