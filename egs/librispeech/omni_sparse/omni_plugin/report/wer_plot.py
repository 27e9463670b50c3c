# SPDX-License-Identifier: Apache-2.0
"""Word error rate against size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from omni_plugin.report.dark import readable
from omni_plugin.report.points import Point, splits_of
from omni_plugin.report.style import Style, clean, looks

# A scale reaches at least so many times its best word error rate.
_AT_LEAST = 1.5
_MILLION = 1e6
_COLUMNS = 3  # of the legend, over each panel
# More lines than these have bars for intervals, side by side, since bands would hide each other.
_MOST_BANDS = 4
_STEP = 0.007  # between neighbours, as a share of the panel's width


def wer_figure(
    points: Iterable[Point], style: Mapping[str, Style], may_leave: Collection[str] = ()
) -> Figure:
    """A panel for each split, a line for each system, with its 95 % intervals as band or bars.

    The scale shows all systems but those of ``may_leave``, whose word error rates above it stand
    at its upper edge as numbers. It need not begin at 0.

    Args:
      points: Of one method and mode.
      style: Of each system.
      may_leave: Systems that are expected to fail, and would press all others to the bottom.
    """
    points = list(points)
    splits = splits_of(points)
    systems = list(dict.fromkeys(p.system for p in points))
    with looks():
        figure = Figure(figsize=(1.0 + 5.2 * len(splits), 4.8), layout="constrained")
        panels = figure.subplots(1, len(splits), squeeze=False)[0]
        for axes, split in zip(panels, splits, strict=True):
            found = [p for p in points if p.split == split]
            _panel(axes, found, systems, style, *scale(found, may_leave))
            axes.set_title(split, fontweight="bold")
        panels[0].set_ylabel("word error rate (%)")
        handles = [
            Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=name)
            for name, look in ((name, style[name]) for name in systems)
        ]
        most = _COLUMNS * len(splits)
        columns = math.ceil(len(handles) / math.ceil(len(handles) / most))
        figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)
    return figure


def scale(points: Sequence[Point], may_leave: Collection[str] = ()) -> tuple[float, float]:
    """Where the scale of a panel begins and ends, in percent.

    Not below 0, where intervals of few seeds may reach.
    """
    shown = max((p.high for p in points if p.system not in may_leave), default=0.0)
    best = max(1.0, min(p.wer for p in points))
    return max(0.0, 0.85 * min(p.low for p in points)), max(1.1 * shown, _AT_LEAST * best)


def _panel(
    axes: Axes,
    points: Sequence[Point],
    systems: Sequence[str],
    style: Mapping[str, Style],
    bottom: float,
    top: float,
) -> None:
    row = 0  # of the names at the upper edge
    lines = [name for name, count in Counter(p.system for p in points).items() if count > 1]
    bands = len(lines) <= _MOST_BANDS
    sizes = [p.num_nonzero / _MILLION for p in points]
    step = 0.0 if bands else _STEP * (max(sizes) - min(sizes))
    for number, system in enumerate(systems):
        found = sorted((p for p in points if p.system == system), key=lambda p: p.num_nonzero)
        if not found:
            continue
        look = style[system]
        aside = step * (lines.index(system) - (len(lines) - 1) / 2) if system in lines else 0.0
        x, wer = [p.num_nonzero / _MILLION + aside for p in found], [p.wer for p in found]
        low, high = [p.low for p in found], [p.high for p in found]
        if len(found) > 1 and bands:
            axes.fill_between(x, low, high, color=look.colour, alpha=0.16, linewidth=0)
        else:
            spread = [[p.wer - p.low for p in found], [p.high - p.wer for p in found]]
            axes.errorbar(
                x, wer, yerr=spread, color=look.colour, capsize=2.5, linewidth=0, elinewidth=1,
                zorder=3 if len(found) > 1 else 5,
            )  # fmt: skip
        # Single points lie on lines, and the first system, which others are compared with, on all.
        axes.plot(
            x, wer, color=look.colour, marker=look.marker, linestyle=look.line, markersize=6,
            linewidth=1.8, markeredgecolor="white", markeredgewidth=0.8, label=system,
            zorder=7 if number == 0 else 6 if len(found) == 1 else 4,
        )  # fmt: skip
        beyond = [p for p in found if p.wer > top]
        if beyond:
            _name_beyond(axes, beyond, look, row)
            row += 1
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.margins(x=0.07)
    axes.set_xlabel("non-zero parameters (millions)")
    clean(axes)
    _sparsity_scale(axes, points)


def _name_beyond(axes: Axes, points: Sequence[Point], look: Style, row: int) -> None:
    """Arrow heads at the upper edge with the word error rates that lie above it."""
    place = blended_transform_factory(axes.transData, axes.transAxes)
    height = 0.97 - 0.06 * row
    for point in points:
        x = point.num_nonzero / _MILLION
        axes.plot(
            x, height, marker="^", markersize=6, color=look.colour, transform=place, zorder=6
        )  # fmt: skip
        axes.annotate(
            f"{point.wer:.0f} %", (x, height), xycoords=place, xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=9, zorder=6,
            color=readable(to_hex(look.colour)),
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


# A weight that is zero by chance moves a size by less than can be seen.
_SAME_SIZE = 1.005


def _sparsity_scale(axes: Axes, points: Sequence[Point]) -> None:
    """The sparsities that belong to the sizes, above the panel, if no two lines disagree."""
    count = Counter(point.system for point in points)
    sizes: dict[str, set[int]] = {}
    for point in points:
        name = "0" if point.subnet == "dense" else point.subnet
        # Single points are other models, perhaps of other sizes.
        if count[point.system] > 1 and _is_number(name):
            sizes.setdefault(name, set()).add(point.num_nonzero)
    if len(sizes) < 2 or any(max(s) > _SAME_SIZE * min(s) for s in sizes.values()):
        return
    above = axes.secondary_xaxis("top")
    ticks = {max(found) / _MILLION: name for name, found in sizes.items()}
    above.set_xticks(list(ticks), labels=[_short(name) for name in ticks.values()], fontsize=9)
    above.set_xlabel("sparsity", fontsize=9, labelpad=4)
    above.tick_params(length=3, color="0.6")
    above.spines["top"].set_visible(False)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _short(name: str) -> str:
    """0.50 as 0.5."""
    return name.rstrip("0") if name.startswith("0.") else name
