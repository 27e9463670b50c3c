# SPDX-License-Identifier: Apache-2.0
"""The page of a search: tables and plots of what each method found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from omni_emformer.search.compare import compare
from omni_emformer.search.measure import LOSS, WER
from omni_emformer.search.results import Choice
from omni_emformer.search.setup import Search
from omni_emformer.supernet.fronts import ESTIMATE, FOLDER, FRONT, front_path
from omni_plugin.report import Style, markdown_table, save, styles
from omni_plugin.search import RANDOM, SEARCH, UNIFORM, Found, FrontPoint, area
from omni_plugin.search.plots import Cloud, levels_figure, search_figure

#: What costs are divided by in tables and plots, and then called.
_UNITS = {
    "params": (1e6, "million parameters"),
    "bytes": (1e6, "MB"),
    "macs": (1e6, "million multiply-adds a second of audio"),
    "chunk-ms": (1.0, "ms a chunk"),
}
_FIXED = {UNIFORM: Style("#000000", "o"), SEARCH: Style("#0072B2", "s")}


def write_page(
    exp_dir: Path,
    search: Search,
    found: Mapping[str, Found],
    fronts: Mapping[str, Sequence[FrontPoint]],
    choices: Sequence[Choice],
    command: str,
) -> Path:
    """Write the page and its plots; returns its path.

    Args:
      exp_dir: The experiment's folder.
      search: What searched.
      found: By method.
      fronts: Of the search and of the random sub-networks.
      choices: What was decoded on the test splits.
      command: What makes the page.
    """
    stem = front_path(exp_dir, FRONT, search.cost.name).stem
    plots = _plots(exp_dir, stem, search, found, fronts)
    sections = [
        f"# Search: {search.subnets.info.checkpoint}, WER against {search.cost.name}",
        _head(search, found),
        f"![all that was tried]({plots[0]})",
        f"## Methods\n\n{_methods(search, found)}",
        _tests(exp_dir, search, choices),
        f"## The front\n\n{_front(fronts[SEARCH])}\n\n![sparsity of each weight]({plots[1]})",
        f"## Command\n\n```\n{command}\n```",
    ]
    path = exp_dir / FOLDER / f"{stem}.md"
    path.write_text("\n\n".join(filter(None, sections)) + "\n")
    return path


def _head(search: Search, found: Mapping[str, Found]) -> str:
    tried = {name: f"{len(found[name].tried):,}" for name in (SEARCH, RANDOM)}
    lines = [
        f"Searched on {search.data.describe()}.",
        f"{tried[SEARCH]} sub-networks tried by the search, {tried[RANDOM]} at random.",
        "Rank correlation with the word error rate on all utterances, over "
        f"{len({v for one in found.values() for v in one.vectors})} sub-networks: "
        + ", ".join(
            f"{value:.3f} of the {rung.metric} on "
            f"{'the first' if rung.parts < len(search.data.parts) else 'all'}"
            for rung, value in search.pareto.correlations(found)
        )
        + ".",
        f"The {ESTIMATE} is the mean of the measured one and of what the loss lets one expect.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _methods(search: Search, found: Mapping[str, Found]) -> str:
    """A table of each method's front: its area, and its estimate within some budgets."""
    worst = max(cost for cost, _ in found[UNIFORM].points), max(found[UNIFORM].estimates)
    scale, unit = _UNITS[search.cost.name]
    budgets = [search.cost(search.space.uniform(level)) for level in (0.5, 0.7, 0.8, 0.9)]
    head = ["method", "tried", "area under the front"]
    head += [f"{ESTIMATE} % within {budget / scale:.4g}" for budget in budgets]
    rows = []
    for name, one in sorted(found.items(), key=lambda item: -area(item[1].points, worst)):
        row = [name, str(len(one.tried)), f"{area(one.points, worst) / (worst[0] * worst[1]):.4f}"]
        for budget in budgets:
            within = [score for cost, score in one.points if cost <= budget]
            row.append(f"{min(within):.2f}" if within else "-")
        rows.append(row)
    note = (
        f"Budgets in {unit}: those of the uniform levels 0.5, 0.7, 0.8 and 0.9. The area between "
        "front and the worst uniform sub-network is a share of all that lies below that one."
    )
    return f"{markdown_table(head, rows)}\n\n{note}"


def _tests(exp_dir: Path, search: Search, choices: Sequence[Choice]) -> str:
    if not choices:
        return ""
    weights = {
        name: search.subnets.make(_level(name))[1].weights
        for choice in choices
        for name in choice.names.values()
    }
    note = (
        "The best of each method that costs no more than a uniform level, greedy, chunk by chunk."
    )
    return f"## Test splits\n\n{compare(exp_dir, weights, choices)}\n\n{note}"


def _level(name: str) -> float | str:
    return name if "/" in name else float(name)


def _front(points: Sequence[FrontPoint]) -> str:
    head = ["sub-network", *(unit for _, unit in _UNITS.values()), "loss", "WER %", f"{ESTIMATE} %"]
    rows = [
        [
            point.name,
            *(f"{point.costs[name] / scale:.4g}" for name, (scale, _) in _UNITS.items()),
            f"{point.scores[LOSS]:.4f}",
            f"{point.scores[WER]:.2f}",
            f"{point.scores[ESTIMATE]:.2f}",
        ]
        for point in points
    ]
    return markdown_table(head, rows)


def _plots(
    exp_dir: Path,
    stem: str,
    search: Search,
    found: Mapping[str, Found],
    fronts: Mapping[str, Sequence[FrontPoint]],
) -> list[str]:
    """Files of the plots: what was tried, and the levels along the front."""
    look = styles(found, _FIXED)
    first = {
        name: Cloud(search.pareto.first_points(found[name]), look[name])
        for name in (RANDOM, SEARCH, UNIFORM)
    }
    last = {name: Cloud(one.points, look[name]) for name, one in found.items()}
    scale, unit = _UNITS[search.cost.name]
    panels = {"loss on the first utterances (nats a frame)": first, f"{ESTIMATE} (%)": last}
    names = {axis.name: _short(axis.name) for axis in search.space.axes}
    figures = [search_figure(panels, unit, scale), levels_figure(fronts[SEARCH], names)]
    files = [f"{stem}-tried", f"{stem}-levels"]
    return [
        save(figure, exp_dir / FOLDER / file)[0].name
        for figure, file in zip(figures, files, strict=True)
    ]


def _short(name: str) -> str:
    """A weight's name without what all have in common."""
    return name.removeprefix("encoder.emformer.emformer_layers.").removesuffix(".weight")
