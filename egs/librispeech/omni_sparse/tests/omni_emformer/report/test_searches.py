# SPDX-License-Identifier: Apache-2.0
"""A search's front in a report: its points, and copies of its plots."""

from __future__ import annotations

from pathlib import Path

import pytest

from emformer.errors import RecipeError
from omni_emformer.report.__main__ import write_report
from omni_emformer.report.experiments import read_experiment
from omni_emformer.supernet.fronts import ESTIMATE
from omni_plugin.report import heat_map_figure, save
from omni_plugin.report.heat_map import HeatMap
from omni_plugin.search import FrontPoint, write_front
from tests.support.made_up_results import add_result, section

POINTS = [
    FrontPoint(
        "front/0", {"w": 0.9}, {ESTIMATE: 12.5, "loss": 0.2}, {"params": 600_000, "ms": 0.5}
    ),
    FrontPoint("front/1", {"w": 0.5}, {ESTIMATE: 8.25, "loss": 0.1}, {"params": 1.25e6, "ms": 0.8}),
]


def searched(folder: Path, plots: bool = True, cost: str = "params") -> Path:
    """An experiment's folder with a front of two points."""
    add_result(folder, folder.name, "dense", 4, seed=len(str(folder)))
    where = folder / "search"
    where.mkdir(exist_ok=True)
    stem = "front" if cost == "params" else f"front-{cost}"
    write_front(where / f"{stem}.json", POINTS, {"cost": cost})
    if plots:
        shown = heat_map_figure({"": HeatMap([folder.parent.name[:5]], ["0"], [[0.9]])})
        save(shown, where / f"{stem}-levels")
    return folder


def report(out: Path, *folders: Path) -> str:
    return write_report([read_experiment(folder) for folder in folders], out).read_text()


def test_the_front_is_told_from_its_smallest_to_its_largest(tmp_path):
    page = report(tmp_path / "out", searched(tmp_path / "omni"))
    assert "## Search: omni, WER against params" in page
    assert "2 sub-networks on the Pareto front, from 600,000 params and an estimated wer of 12.50 %"
    assert "to 1,250,000 and 8.25 %." in page


def test_every_point_has_its_costs_and_scores(tmp_path):
    page = report(tmp_path / "out", searched(tmp_path / "omni"))
    assert section(page, "Search") == [
        ["sub-network", "params", "ms", ESTIMATE, "loss"],
        ["front/0", "600,000", "0.5", "12.5", "0.2"],
        ["front/1", "1,250,000", "0.8", "8.25", "0.1"],
    ]


def test_its_plots_go_with_the_report(tmp_path):
    folder, out = searched(tmp_path / "omni"), tmp_path / "out"
    assert "![sparsity of each weight](search-omni-front-levels.png)" in report(out, folder)
    for suffix in (".png", ".svg"):
        copied, own = out / f"search-omni-front-levels{suffix}", folder / "search/front-levels"
        assert copied.read_bytes() == own.with_suffix(suffix).read_bytes()


def test_two_folders_of_one_name_do_not_share_a_plot(tmp_path):
    folders = [searched(tmp_path / parent / "omni") for parent in ("a", "other")]
    page = report(tmp_path / "out", *folders)
    for number in (1, 2):
        assert f"(search-omni-{number}-front-levels.png)" in page
    one, two = (tmp_path / f"out/search-omni-{n}-front-levels.svg" for n in (1, 2))
    assert one.read_text() != two.read_text()


def test_each_cost_has_a_section(tmp_path):
    folder = searched(tmp_path / "omni")
    searched(folder, cost="ms")
    page = report(tmp_path / "out", folder)
    assert "WER against params\n" in page and "WER against ms\n" in page


def test_a_front_without_plots_is_told(tmp_path):
    page = report(tmp_path / "out", searched(tmp_path / "omni", plots=False))
    assert "## Search: omni" in page and "search-omni" not in page


def test_where_nothing_was_searched_nothing_is_told(tmp_path):
    add_result(tmp_path / "omni", "omni", "dense", 4)
    assert "## Search" not in report(tmp_path / "out", tmp_path / "omni")


def test_a_damaged_front_is_told_in_a_line(tmp_path):
    folder = searched(tmp_path / "omni")
    (folder / "search/front.json").write_text("{")
    with pytest.raises(RecipeError, match=r"front.json: not a front .*; search again \(stage 12\)"):
        report(tmp_path / "out", folder)
