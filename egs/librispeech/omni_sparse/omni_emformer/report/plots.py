# SPDX-License-Identifier: Apache-2.0
"""The plots of a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from emformer.scoring.results import DENSE, Result
from omni_emformer.report.networks import Ways
from omni_emformer.report.runs import Runs
from omni_plugin.report import curves_figure, heat_map_figure, save, wer_figure
from omni_plugin.report.curves import Curve
from omni_plugin.report.heat_map import HeatMap

# A system whose best sparse size is so many times worse than the best of all does not press all
# others to the bottom.
_FAR = 2.5
# Sub-networks without even such a share of zeros have nothing to show in a map of zeros.
_FEW = 0.001


def plot_wer(runs: Runs, ways: Ways, out: Path) -> str:
    """Word error rate against size; returns the PNG's name, empty if all have one size."""
    points = runs.lines(ways)
    if len({point.num_nonzero for point in points}) < 2:
        return ""
    settings = "-".join(ways.settings.replace("_", "-").replace(",", "").split())
    name = "-".join(filter(None, ("wer", ways.method, settings, ways.mode)))
    best: dict[str, float] = {}
    for p in points:
        best[p.split] = min(p.wer, best.get(p.split, p.wer))
    whole = max(p.num_nonzero for p in points)
    sparse: dict[tuple[str, str], list[float]] = {}  # its full size may be another system's
    for p in points:
        if p.num_nonzero < whole:
            sparse.setdefault((p.system, p.split), []).append(p.wer)
    far = {one for (one, split), wers in sparse.items() if min(wers) > _FAR * best[split]}
    return save(wer_figure(points, runs.style, far), out / name)[0].name


def plot_layers(runs: Runs, out: Path) -> str:
    """Zeros of each encoder layer; returns the PNG's name."""
    whole = runs.networks(runs.reference)
    maps = {}
    for label in runs.systems:
        networks = runs.networks(label)
        if any(r.sparsity > _FEW for r in networks.values()):
            maps[label] = _heat_map({**whole, **networks})
    if not maps:
        return ""
    return save(heat_map_figure(maps, "sub-network"), out / "layer-sparsity")[0].name


def _heat_map(networks: Mapping[str, Result]) -> HeatMap:
    found = sorted(networks.values(), key=lambda r: -r.num_nonzero)
    layers = [f"layer {number}" for number in range(1, len(found[0].levels) + 1)]
    whole = [1 - r.num_nonzero / r.num_params for r in found]
    values = [*zip(*(r.levels for r in found), strict=True), [r.sparsity for r in found], whole]
    rows = [*layers, "encoder matrices", "whole model"]
    # Rounded, since a weight that is zero by chance makes no other map.
    shown = [[None if value is None else round(value, 2) for value in row] for row in values]
    return HeatMap(rows, [r.subnet for r in found], shown, sums=2)


def plot_curves(runs: Runs, out: Path) -> str:
    """Validation losses over training, of the first seed; the PNG's name, empty if none is known.

    Of each training, those of the sub-networks that were decoded.
    """
    panels = {label: curves for label in runs.systems if (curves := _curves(runs, label))}
    reference = panels.get(runs.reference, [])[:1]
    if reference:
        look = runs.style[runs.reference].colour
        reference = [Curve(runs.reference, reference[0].updates, reference[0].values, look, True)]
    others = {label: [*c, *reference] for label, c in panels.items() if label != runs.reference}
    if not others and not reference:
        return ""
    colours = {label: runs.style[label].colour for label in others}
    ylabel = "validation loss\n(pruned RNN-T, nats an encoder frame)"
    figure = curves_figure(
        others or {runs.reference: reference}, ylabel, colours, "sub-network" if others else ""
    )
    return save(figure, out / "training-curves")[0].name


def _curves(runs: Runs, label: str) -> list[Curve]:
    """Of a system's own trainings, each sub-network's once."""
    if runs.is_untrained(label):
        return []
    found = {}
    results = runs.results_of(label)
    first = min(r.seed for _, r in results)
    for experiment in runs.systems[label]:
        decoded = {r.subnet for e, r in results if e is experiment and r.seed == first}
        losses = experiment.validation()
        if set(losses) == {DENSE} and len(decoded) == 1:
            losses = {next(iter(decoded)): losses[DENSE]}  # a small dense model has another name
        found.update({name: curve for name, curve in losses.items() if name in decoded})
    whole = "all" if any(name.startswith("units") for name in found) else "0"
    return [Curve(whole if name == DENSE else name, *curve) for name, curve in found.items()]
