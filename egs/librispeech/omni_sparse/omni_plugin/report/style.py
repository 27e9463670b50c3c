# SPDX-License-Identifier: Apache-2.0
"""Looks that all plots share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# M. Okabe and K. Ito, "Color Universal Design" (2008): told apart with any kind of colour vision.
# Without their yellow, which is too pale for a line on white. From the eighth on, darker ones that
# need their markers, too.
_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7A5C00",
    "#882255", "#777777", "#44AA99", "#332288", "#A6761D", "#666633", "#9467BD", "#E7298A",
)  # fmt: skip
_MARKERS = "os^DvPX<>hp*dH8"


@dataclass(frozen=True)
class Style:
    """How a system looks in every plot.

    Args:
      colour: As matplotlib takes it.
      marker: Of its points, so that colour is never all that tells systems apart.
      line: Of its line, as matplotlib takes it; runs of one system differ in it.
    """

    colour: str
    marker: str
    line: str = "-"


def styles(systems: Iterable[str], fixed: Mapping[str, Style] | None = None) -> dict[str, Style]:
    """A style for each system, in their order; the same system always gets that of ``fixed``."""
    fixed = dict(fixed or {})
    colours = [c for c in _COLOURS if c not in {style.colour for style in fixed.values()}]
    markers = [m for m in _MARKERS if m not in {style.marker for style in fixed.values()}]
    free = [Style(colour, marker) for colour, marker in zip(colours, markers, strict=False)]
    chosen: dict[str, Style] = {}
    for system in systems:
        if system not in chosen:
            others = sum(name not in fixed for name in chosen)
            chosen[system] = fixed.get(system) or free[others % len(free)]
    return chosen


@contextmanager
def looks():
    """Within it, new figures have the common fonts."""
    settings = {
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.labelsize": 10,
        "legend.fontsize": 10,
        "svg.hashsalt": "omni",  # the same figure gives the same file
    }
    with matplotlib.rc_context(settings):
        yield


def clean(axes: Axes, grid: str = "both") -> None:
    """A faint grid, and no frame where there is no scale."""
    axes.grid(axis=grid, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG; ``path`` is without a suffix. Returns the files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(path.name + suffix) for suffix in (".png", ".svg")]
    with looks():
        figure.savefig(files[0], dpi=160)
        figure.savefig(files[1], metadata={"Date": None})
    return files
