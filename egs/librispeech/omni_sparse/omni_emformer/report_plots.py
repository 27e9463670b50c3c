# SPDX-License-Identifier: Apache-2.0
"""The plots of a report."""

from __future__ import annotations

from pathlib import Path

from emformer.results import DENSE
from omni_emformer.experiment_files import Experiment
from omni_emformer.report_runs import Runs, Ways
from omni_plugin.report import curves_figure, heat_map_figure, save, wer_figure
from omni_plugin.report.curves import Curve
from omni_plugin.report.heat_map import HeatMap


def plot_wer(runs: Runs, ways: Ways, out: Path) -> str:
    """Word error rate against size; returns the PNG's name, empty if all have one size."""
    points = runs.lines(ways)
    if len({point.num_nonzero for point in points}) < 2:
        return ""
    settings = "-".join(ways.settings.replace("_", "-").replace(",", "").split())
    name = "-".join(filter(None, ("wer", ways.method, settings, ways.mode)))
    one_shot = [label for e in runs.experiments for label in runs.one_shot(e)]
    return save(wer_figure(points, runs.style, one_shot), out / name)[0].name


def plot_layers(runs: Runs, out: Path) -> str:
    """Zeros of each encoder layer; returns the PNG's name."""
    maps = {}
    for experiment in runs.experiments:
        for label, networks in runs.networks(experiment).items():
            if set(networks) != {DENSE}:
                maps[label] = _heat_map(networks)
    if not maps:
        return ""
    return save(heat_map_figure(maps, "sub-network"), out / "layer-sparsity")[0].name


def _heat_map(networks: dict) -> HeatMap:
    found = sorted(networks.values(), key=lambda r: -r.num_nonzero)
    layers = [f"layer {number}" for number in range(1, len(found[0].levels) + 1)]
    whole = [1 - r.num_nonzero / r.num_params for r in found]
    values = [*zip(*(r.levels for r in found), strict=True), [r.sparsity for r in found], whole]
    rows = [*layers, "encoder matrices", "whole model"]
    return HeatMap(rows, [r.subnet for r in found], [list(row) for row in values], sums=2)


def plot_curves(runs: Runs, out: Path) -> str:
    """Validation losses over training; returns the PNG's name, empty if none is known."""
    reference = _whole_curve(runs, runs.experiments[0])
    panels, colours = {}, {}
    for experiment in runs.experiments:
        found = experiment.validation()
        if set(found) <= {DENSE}:
            continue
        label = _trained_system(runs, experiment)
        panels[label] = [Curve(_short(name), *curve) for name, curve in found.items()]
        if reference and experiment is not runs.experiments[0]:
            panels[label].append(reference)
        colours[label] = runs.style[label].colour
    if not panels and reference:
        panels[reference.name] = [reference]
    if not panels:
        return ""
    ylabel = "validation loss\n(pruned RNN-T, nats an encoder frame)"
    figure = curves_figure(panels, ylabel, colours, "sparsity" if colours else "")
    return save(figure, out / "training-curves")[0].name


def _short(name: str) -> str:
    return "0" if name == "0.00" else name


def _trained_system(runs: Runs, experiment: Experiment) -> str:
    """What the trained system is called: the one with the whole model, if it was decoded."""
    systems = runs.systems_of(experiment)
    whole = [r.system for r in experiment.results if r.subnet == DENSE]
    return systems[(whole or list(systems))[0]]


def _whole_curve(runs: Runs, experiment: Experiment) -> Curve | None:
    found = experiment.validation()
    if set(found) != {DENSE}:
        return None
    label = _trained_system(runs, experiment)
    return Curve(label, *found[DENSE], colour=runs.style[label].colour, is_reference=True)
