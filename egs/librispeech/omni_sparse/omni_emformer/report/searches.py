# SPDX-License-Identifier: Apache-2.0
"""What searches of a report's experiments found: their Pareto fronts, and the plots of these."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from emformer.errors import RecipeError
from omni_emformer.report.runs import Runs
from omni_emformer.supernet.fronts import ESTIMATE, FOLDER, FRONT
from omni_plugin import OmniError
from omni_plugin.report import markdown_table
from omni_plugin.search import FrontPoint, read_front

# Plots that a search draws beside its front, by the ends of their names.
_PICTURES = {"tried": "all that the search tried", "levels": "sparsity of each weight"}


def searches(runs: Runs, out: Path) -> list[str]:
    """A section for each Pareto front, with its plots; none where nothing was searched.

    Args:
      runs: What is reported.
      out: The report's folder, which gets copies of the plots, so that it can be moved.

    Raises:
      RecipeError: A front's file is damaged.
    """
    names = [experiment.folder.name for experiment in runs.experiments]
    sections = []
    for number, experiment in enumerate(runs.experiments):
        name = experiment.folder.name
        # Of two folders of one name, the files would be the same.
        own = name if names.count(name) == 1 else f"{name}-{number + 1}"
        for path in sorted((experiment.folder / FOLDER).glob(f"{FRONT}*.json")):
            sections.append(_section(own, path, out))
    return sections


def _section(name: str, path: Path, out: Path) -> str:
    try:
        points, content = read_front(path)
    except OmniError as e:
        raise RecipeError(f"{e}; search again (stage 12)") from None
    cost = content.get("cost", "params")
    parts = [f"## Search: {name}, WER against {cost}"]
    if points:
        parts += [_told(points, cost, path), _table(points)]
    for end, text in _PICTURES.items():
        picture = path.with_name(f"{path.stem}-{end}")
        # The search draws both; of an older one, the PNG may be alone.
        if all(picture.with_suffix(suffix).exists() for suffix in (".png", ".svg")):
            copied = f"search-{name}-{picture.name}"
            for suffix in (".png", ".svg"):
                shutil.copyfile(picture.with_suffix(suffix), out / f"{copied}{suffix}")
            parts.append(f"![{text}]({copied}.png)")
    return "\n\n".join(parts)


def _told(points: Sequence[FrontPoint], cost: str, path: Path) -> str:
    small, large = points[0], points[-1]
    least, most = (_cost(point.costs[cost]) for point in (small, large))
    return (
        f"{len(points)} sub-networks on the Pareto front, from {least} {cost} and "
        f"an {ESTIMATE} of {small.scores[ESTIMATE]:.2f} % to {most} and "
        f"{large.scores[ESTIMATE]:.2f} %. These are of the data of the search; what was measured "
        f"on the test splits is in `{path.with_suffix('.md')}`."
    )


def _table(points: Sequence[FrontPoint]) -> str:
    """All costs and scores of the front, from the least cost to the highest."""
    head = ["sub-network", *points[0].costs, *points[0].scores]
    rows = [
        [point.name]
        + [_cost(value) for value in point.costs.values()]
        + [f"{value:.4g}" for value in point.scores.values()]
        for point in points
    ]
    table = markdown_table(head, rows)
    return f"<details><summary>{len(rows)} sub-networks</summary>\n\n{table}\n\n</details>"


def _cost(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
