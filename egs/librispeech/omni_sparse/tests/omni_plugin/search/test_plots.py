# SPDX-License-Identifier: Apache-2.0
"""The figures of a search show what they are given."""

import pytest

from omni_plugin.report import Style
from omni_plugin.search import FrontPoint
from omni_plugin.search.plots import Cloud, levels_figure, search_figure

LOOK = Style("#0072B2", "o")


def test_each_score_has_a_panel_with_the_points_and_front_of_each_method():
    clouds = {"search": Cloud([(2e6, 5.0), (1e6, 9.0), (2e6, 8.0)], LOOK)}
    figure = search_figure({"loss": clouds, "WER": clouds}, "million parameters", 1e6)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "WER"]
    for axes in figure.axes:
        (line,), (dots,) = axes.get_lines(), axes.collections
        assert line.get_xydata().tolist() == [[1.0, 9.0], [2.0, 5.0]]
        assert dots.get_offsets().tolist() == [[2.0, 5.0], [1.0, 9.0], [2.0, 8.0]]
        assert axes.get_ylim() == (0, pytest.approx(1.5 * 9.0))


def test_of_a_long_front_some_levels_are_shown_with_its_ends():
    points = [FrontPoint(f"front/{n}", {"a": n / 100, "b": 0.5}, {}, {}) for n in range(40)]
    figure = levels_figure(points, {"a": "first", "b": "second"})
    axes = figure.axes[0]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert (columns[0], columns[-1], len(columns)) == ("0", "39", 14)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert axes.images[0].get_array()[0, -1] == pytest.approx(0.39)
