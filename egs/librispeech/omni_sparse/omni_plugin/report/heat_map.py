# SPDX-License-Identifier: Apache-2.0
"""Sparsity of each layer, as a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from omni_plugin.report.dark import KEPT, contrast
from omni_plugin.report.style import looks

_COLOURS = "Blues"


@dataclass(frozen=True)
class HeatMap:
    """Numbers from 0 to 1 in rows and columns.

    Args:
      rows, columns: Their names.
      values: A list of numbers for each row; None where there is none.
      sums: How many of the last rows are sums over the others; they stand apart.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    sums: int = 0


def heat_map_figure(maps: Mapping[str, HeatMap], column_title: str = "sparsity") -> Figure:
    """A panel for each map, by title; maps with the same numbers share one.

    Args:
      maps: At least one.
      column_title: What the columns' names are.
    """
    titles: dict[int, list[str]] = {}
    panels: list[HeatMap] = []
    for title, one in maps.items():
        if one not in panels:
            panels.append(one)
        titles.setdefault(panels.index(one), []).append(title)
    widths = [max(2.2, 0.62 * len(one.columns)) for one in panels]
    height = 1.5 + 0.27 * max(len(one.rows) for one in panels)
    with looks():
        width = 2.6 + sum(widths) + 1.2 * len(panels)
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
        for number, (axes, one) in enumerate(zip(grid, panels, strict=True)):
            image = _panel(axes, one, number)
            axes.set_title(", ".join(titles[number]), fontweight="bold")
            axes.set_xlabel(column_title)
        bar = figure.colorbar(image, ax=list(grid), fraction=0.05, pad=0.03)
        bar.set_label("share of zeros")
        bar.outline.set_visible(False)
    return figure


def figure_colour(value: float) -> str:
    """Black or white: what is read more easily on the colour of a number."""
    cell = to_hex(colormaps[_COLOURS](value))
    return max(("#000000", "#ffffff"), key=lambda colour: contrast(colour, cell))


def _panel(axes: Axes, one: HeatMap, number: int):
    values = np.array(one.values, dtype=float)  # nan for None, which stays white
    image = axes.imshow(values, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(one.columns)), labels=one.columns)
    axes.set_yticks(range(len(one.rows)), labels=one.rows)
    axes.tick_params(length=0)
    for y, row in enumerate(one.values):
        for x, value in enumerate(row):
            colour = "#000000" if value is None else figure_colour(value)
            shown = "-" if value is None else f"{value:.2f}"
            gid = None if value is None else f"{KEPT}-{number}-{x}-{y}"
            axes.text(x, y, shown, ha="center", va="center", fontsize=8.5, color=colour, gid=gid)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for edge in range(1, len(one.rows)):
        axes.axhline(edge - 0.5, color="white", linewidth=1)
    for edge in range(1, len(one.columns)):
        axes.axvline(edge - 0.5, color="white", linewidth=1)
    if 0 < one.sums < len(one.rows):
        axes.axhline(len(one.rows) - one.sums - 0.5, color="white", linewidth=6)
    return image
