# SPDX-License-Identifier: Apache-2.0
"""Curves over training, one for each sub-network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from omni_plugin.report.dark import readable
from omni_plugin.report.style import clean, looks

_COLUMNS = 3
# From dark to light, without the lightest, which are too pale for a line on white.
_SHADES, _PALEST = "plasma", 0.75
_LINE = 12.0  # height of a label, in points


@dataclass(frozen=True)
class Curve:
    """Numbers over updates.

    Args:
      name: Written at its end.
      updates, values: As many of one as of the other.
      colour: None for a shade by its name.
      is_reference: Drawn dashed, behind the others.
    """

    name: str
    updates: Sequence[int]
    values: Sequence[float]
    colour: str | None = None
    is_reference: bool = False


def curves_figure(
    panels: Mapping[str, Sequence[Curve]],
    ylabel: str,
    colours: Mapping[str, str] | None = None,
    names: str = "",
) -> Figure:
    """A panel for each training run, with a logarithmic scale that all share.

    Args:
      panels: Curves by the panel's title. Those without a colour of their own go from dark to
        light in the order of their names, which have the same shade in all panels.
      ylabel: What the values are, with their unit.
      colours: Of titles.
      names: What the names of curves are, written above them.
    """
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    panels = _coloured(panels)
    with looks():
        figure = Figure(figsize=(1.2 + 4.8 * columns, 0.5 + 3.6 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
            _panel(axes, curves)
            colour = to_hex((colours or {}).get(title, "black"))
            axes.set_title(title, fontweight="bold", color=readable(colour))
            axes.set_xlabel("updates")
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel(ylabel, multialignment="center")
        # Only now that the shared scale is known.
        figure.draw_without_rendering()
        for axes, curves in zip(grid.flat, panels.values(), strict=False):
            _label_ends(axes, curves, names)
    return figure


def shades(number: int) -> list[str]:
    """So many colours from dark to light."""
    colours = matplotlib.colormaps[_SHADES]
    steps = [_PALEST * i / max(1, number - 1) for i in range(number)]
    return [matplotlib.colors.to_hex(colours(step)) for step in steps]


def _coloured(panels: Mapping[str, Sequence[Curve]]) -> dict[str, list[Curve]]:
    """The panels with a colour for every curve."""
    names = sorted({c.name for curves in panels.values() for c in curves if c.colour is None})
    shade = dict(zip(names, shades(len(names)), strict=True))
    return {
        title: [c if c.colour else dataclasses.replace(c, colour=shade[c.name]) for c in curves]
        for title, curves in panels.items()
    }


def _panel(axes: Axes, curves: Sequence[Curve]) -> None:
    for curve in curves:
        axes.plot(
            curve.updates, curve.values, color=curve.colour, label=curve.name,
            linestyle="--" if curve.is_reference else "-",
            linewidth=1.5 if curve.is_reference else 1.8,
            zorder=2 if curve.is_reference else 3,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelbottom=True, labelleft=True)
    axes.set_xlim(left=0)
    clean(axes)


def _label_ends(axes: Axes, curves: Sequence[Curve], title: str) -> None:
    """Each curve's name at its end, moved up or down where two would overlap."""
    labels = [
        (curve.name, (curve.updates[-1], curve.values[-1]), curve.colour, curve.is_reference)
        for curve in curves
        if curve.updates
    ]
    points = 72.0 / axes.figure.dpi
    heights = [axes.transData.transform(end)[1] * points for _, end, _, _ in labels]
    own = [i for i, (*_, is_reference) in enumerate(labels) if not is_reference]
    if title and own:
        highest = max(own, key=lambda i: heights[i])
        labels.append((title, labels[highest][1], "0.3", False))
        heights.append(heights[highest] + 1e-3)  # spread() puts it right above
    lowest = axes.bbox.y0 * points + _LINE / 2
    places = spread(heights, _LINE, lowest)
    for (text, end, colour, _), goes_to in zip(labels, places, strict=True):
        is_at = axes.transData.transform(end)[1] * points
        axes.annotate(
            text, end, xytext=(6, goes_to - is_at), textcoords="offset points", va="center",
            fontsize=9, color=readable(to_hex(colour)), annotation_clip=False, zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float, lowest: float = -math.inf) -> list[float]:
    """Heights moved apart until all are ``gap`` from each other, in the same order.

    Groups that touch keep their mean, so labels stay near what they name, unless that would bring
    one below ``lowest``.

    >>> spread([0.0, 1.0, 50.0], gap=10)
    [-4.5, 5.5, 50.0]
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    groups: list[list[int]] = []
    middles: list[float] = []

    def bottom(i: int) -> float:
        return middles[i] - gap * (len(groups[i]) - 1) / 2

    def top(i: int) -> float:
        return middles[i] + gap * (len(groups[i]) - 1) / 2

    for i in order:
        groups.append([i])
        middles.append(heights[i])
        while len(groups) > 1 and bottom(-1) - top(-2) < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
            middles[-2:] = [sum(heights[j] for j in groups[-1]) / len(groups[-1])]
    places = [0.0] * len(heights)
    for number, group in enumerate(groups):
        for step, i in enumerate(group):
            places[i] = bottom(number) + gap * step
    for i in order:
        places[i] = max(places[i], lowest)
        lowest = places[i] + gap
    return places
