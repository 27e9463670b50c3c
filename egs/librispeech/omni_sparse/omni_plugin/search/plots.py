# SPDX-License-Identifier: Apache-2.0
"""What a search tried and found, as figures. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_plugin.report.heat_map import HeatMap, heat_map_figure
from omni_plugin.report.style import Style, clean, looks
from omni_plugin.search.front import front
from omni_plugin.search.front_file import FrontPoint

_COLUMNS = 14  # of a heat map
_ABOVE = 1.5  # a scale ends at so many times the highest of the fronts


@dataclass(frozen=True)
class Cloud:
    """Networks of a method.

    Args:
      points: Pairs of cost and score.
      style: How its front looks.
    """

    points: Sequence[tuple[float, float]]
    style: Style


def search_figure(panels: Mapping[str, Mapping[str, Cloud]], cost: str, scale: float) -> Figure:
    """A panel for each score: the points of each method, and its front as a line.

    Args:
      panels: Clouds by method, by the name of the score.
      cost: Name of the cost and its unit.
      scale: What costs are divided by.
    """
    with looks():
        figure = Figure(figsize=(1.0 + 5.6 * len(panels), 4.8), layout="constrained")
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (score, clouds) in zip(grid, panels.items(), strict=True):
            top = max(_draw(axes, name, cloud, scale) for name, cloud in clouds.items())
            axes.set_ylim(0, _ABOVE * top)
            axes.set_xlabel(cost)
            axes.set_ylabel(score)
            clean(axes)
        handles, labels = grid[-1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _draw(axes: Axes, name: str, cloud: Cloud, scale: float) -> float:
    """Returns the highest score of the front."""
    look = cloud.style
    costs = [cost / scale for cost, _ in cloud.points]
    scores = [score for _, score in cloud.points]
    axes.scatter(costs, scores, s=7, color=look.colour, alpha=0.35, linewidths=0)
    found = front(cloud.points)
    axes.plot(
        [costs[i] for i in found], [scores[i] for i in found], label=name, color=look.colour,
        linestyle=look.line, marker=look.marker, markersize=5, linewidth=1.6, markeredgewidth=0,
    )  # fmt: skip
    return max(scores[i] for i in found)


def levels_figure(points: Sequence[FrontPoint], short: Mapping[str, str]) -> Figure:
    """Sparsity of each covered weight along a front, from the least cost to the highest.

    Args:
      points: At least one; where there are many, some of them, evenly spaced.
      short: What the weights are called.
    """
    last = len(points) - 1
    columns = min(_COLUMNS, len(points))
    shown = [points[round(last * n / max(1, columns - 1))] for n in range(columns)]
    names = list(points[0].levels)
    values = [[point.levels[name] for point in shown] for name in names]
    heat_map = HeatMap(
        [short[name] for name in names], [point.name.rpartition("/")[2] for point in shown], values
    )
    return heat_map_figure({"": heat_map}, "sub-network of the front")
