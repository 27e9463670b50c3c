# SPDX-License-Identifier: Apache-2.0
"""Plots hold the records' numbers, and what stands in them can be read."""

from __future__ import annotations

import dataclasses
import itertools

import matplotlib
import numpy as np
import pytest

from omni_plugin.report import Point, curves_figure, heat_map_figure, save, wer_figure
from omni_plugin.report.curves import Curve, shades, spread
from omni_plugin.report.dark import contrast
from omni_plugin.report.heat_map import HeatMap
from omni_plugin.report.style import Style, styles
from omni_plugin.report.wer_plot import scale

SIZES = {"dense": 2_000_000, "0.50": 1_200_000, "0.90": 600_000}
RATES = {
    "dense": {"dense": 8.0},
    "omni": {"dense": 8.2, "0.50": 8.8, "0.90": 16.0},
    "one_shot": {"dense": 8.0, "0.50": 30.0, "0.90": 85.0},
}


def points(factor=1.0, split="clean"):
    return [
        Point(system, name, split, 2_000_000, SIZES[name], w := wer * factor, w * 0.9, w * 1.1)
        for system, found in RATES.items()
        for name, wer in found.items()
    ]


def wer_axes(*splits, may_leave=("one_shot",)):
    found = [p for n, split in enumerate(splits) for p in points(1 + n, split)]
    figure = wer_figure(found, styles(RATES), may_leave)
    figure.draw_without_rendering()
    return figure, figure.axes[: len(splits)]


def line(axes, system):
    (found,) = [x for x in axes.lines if x.get_label() == system]
    return found


def text_of(artist) -> str:
    return artist.get_text()


# Word error rate against size.


def test_a_line_holds_the_systems_sizes_in_millions_and_rates():
    _, (axes,) = wer_axes("clean")
    np.testing.assert_allclose(line(axes, "omni").get_xdata(), [0.6, 1.2, 2.0])
    np.testing.assert_allclose(line(axes, "omni").get_ydata(), [16.0, 8.8, 8.2])
    np.testing.assert_allclose(line(axes, "dense").get_ydata(), [8.0])


def test_a_band_spans_the_intervals():
    _, (axes,) = wer_axes("clean")
    colour = matplotlib.colors.to_rgb(styles(RATES)["omni"].colour)
    bands = [found for found in axes.collections if len(found.get_facecolor())]
    (band,) = [found for found in bands if tuple(found.get_facecolor()[0][:3]) == colour]
    corners = band.get_paths()[0].vertices
    for x, wer in ((0.6, 16.0), (1.2, 8.8), (2.0, 8.2)):
        heights = corners[np.isclose(corners[:, 0], x), 1]
        assert heights.min() == pytest.approx(0.9 * wer)
        assert heights.max() == pytest.approx(1.1 * wer)


def test_a_panel_for_each_split_with_its_own_scale():
    figure, (clean, other) = wer_axes("clean", "other")
    assert [axes.get_title() for axes in (clean, other)] == ["clean", "other"]
    assert clean.get_ylim() == pytest.approx((0.85 * 7.2, 1.1 * 17.6))
    assert other.get_ylim() == pytest.approx((0.85 * 14.4, 1.1 * 35.2))
    assert "%" in clean.get_ylabel() and "millions" in clean.get_xlabel()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(RATES)


def test_what_leaves_the_scale_is_named_at_its_edge():
    _, (axes,) = wer_axes("clean")
    assert [text.get_text() for text in axes.texts] == ["85 %", "30 %"]
    _, (axes,) = wer_axes("clean", may_leave=())
    assert not axes.texts
    assert axes.get_ylim()[1] > 85


def test_no_scale_begins_below_zero():
    wide = Point("omni", "0.50", "clean", 2_000_000, 1_000_000, 1.0, -3.0, 5.0)
    assert scale([wide])[0] == 0


@pytest.mark.parametrize("splits", [("clean",), ("clean", "other")])
def test_the_legend_of_many_systems_stays_within_the_figure(splits):
    found = [
        dataclasses.replace(p, system=f"systems_name_{p.system}", split=split)
        for p in many(10)
        for split in splits
    ]
    figure = wer_figure(found, styles(dict.fromkeys(p.system for p in found)))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box, edges = legend.get_window_extent(), figure.bbox
    assert box.x0 >= edges.x0 and box.x1 <= edges.x1


def test_only_a_reference_leaves_room_above_it():
    assert scale(points()[:1], ()) == pytest.approx((0.85 * 7.2, 12.0))
    far = [p for p in points() if p.system == "one_shot"]
    assert scale(far, ["one_shot"]) == pytest.approx((0.85 * 7.2, 12.0))


def many(systems: int) -> list[Point]:
    """Systems of two sizes each."""
    return [
        Point(f"s{n}", name, "clean", 2_000_000, SIZES[name], 8.0 + n, 7.0 + n, 9.0 + n)
        for n in range(systems)
        for name in ("dense", "0.90")
    ]


def test_many_systems_stand_side_by_side_with_bars_for_bands():
    for systems, bands in ((4, 4), (5, 0)):
        found = many(systems)
        (axes,) = wer_figure(found, styles(p.system for p in found)).axes
        lines = [line(axes, f"s{n}") for n in range(systems)]
        assert len({tuple(x.get_xdata()) for x in lines}) == (1 if bands else systems)
        for x in lines:
            np.testing.assert_allclose(x.get_xdata(), [0.6, 2.0], atol=0.05)
        filled = [c for c in axes.collections if len(c.get_facecolor())]
        assert len(filled) == bands
        (first, *_) = axes.containers or [None]
        if first is not None:
            (bars,) = first.lines[2]
            heights = [segment[:, 1].tolist() for segment in bars.get_segments()]
            assert heights == [[7.0, 9.0], [7.0, 9.0]]


def test_only_sparsities_stand_above_the_panel():
    layers = [
        Point("layers", name, "clean", size, size, 9.0, 8.0, 10.0)
        for name, size in (("dense", 2_000_000), ("units-4", 900_000))
    ]
    (axes,) = wer_figure([*points(), *layers], styles([*RATES, "layers"]), ["one_shot"]).axes
    (above,) = axes.child_axes
    assert sorted(map(text_of, above.get_xticklabels())) == ["0", "0.5", "0.9"]


def test_sparsities_stand_above_their_sizes():
    _, (axes,) = wer_axes("clean")
    (scale,) = axes.child_axes
    ticks = dict(zip(map(text_of, scale.get_xticklabels()), scale.get_xticks(), strict=True))
    assert ticks == {"0": 2.0, "0.5": 1.2, "0.9": 0.6}


def test_a_few_zeros_more_leave_the_scale_of_sparsities():
    found = points()
    found[-1] = dataclasses.replace(found[-1], num_nonzero=found[-1].num_nonzero - 100)
    figure = wer_figure(found, styles(RATES), ["one_shot"])
    assert len(figure.axes[0].child_axes) == 1


def test_sizes_that_disagree_about_a_sparsity_have_no_scale():
    odd = [*points(), Point("wide", "0.50", "clean", 9, 9, 5.0, 4.0, 6.0)]
    odd.append(Point("wide", "dense", "clean", 18, 18, 5.0, 4.0, 6.0))
    figure = wer_figure(odd, styles([*RATES, "wide"]), ["one_shot"])
    assert figure.axes[0].child_axes == []


# Styles.


def test_a_system_looks_the_same_wherever_it_stands():
    fixed = {"omni": Style("#0072B2", "s")}
    assert styles(["a", "omni", "b"], fixed)["omni"] == fixed["omni"]
    assert styles(["omni"], fixed)["omni"] == fixed["omni"]


def test_no_two_systems_look_alike():
    fixed = {"omni": Style("#0072B2", "s"), "one_shot": Style("#D55E00", "^")}
    names = ["omni", "one_shot", *"abcdefghij"]
    found = styles(names, fixed)
    assert len({style.colour for style in found.values()}) == len(names)
    assert len({style.marker for style in found.values()}) == len(names)


# Sparsity of layers.

MAP = HeatMap(["layer 1", "layer 2", "all"], ["dense", "0.50"], [[0, 0.4], [0, 0.6], [0, 0.5]], 1)


def test_a_heat_map_shows_no_figure_where_there_is_none():
    figure = heat_map_figure({"units": HeatMap(["layer 1"], ["a", "b"], [[None, 0.0]])})
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["-", "0.00"]
    assert list(np.isnan(np.ma.filled(axes.images[0].get_array(), np.nan))[0]) == [True, False]


def test_a_heat_map_shows_and_writes_its_values():
    figure = heat_map_figure({"omni": MAP})
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), MAP.values)
    written = [text.get_text() for text in axes.texts]
    assert written == ["0.00", "0.40", "0.00", "0.60", "0.00", "0.50"]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(MAP.rows)
    assert [t.get_text() for t in axes.get_xticklabels()] == list(MAP.columns)
    assert axes.images[0].get_clim() == (0, 1)


@pytest.mark.parametrize("value", np.linspace(0, 1, 21))
def test_figures_of_a_heat_map_can_be_read_on_their_cells(value):
    figure = heat_map_figure({"omni": HeatMap(["layer 1"], ["a"], [[value]])})
    axes = figure.axes[0]
    cell = matplotlib.colors.to_hex(axes.images[0].cmap(value))
    assert contrast(matplotlib.colors.to_hex(axes.texts[0].get_color()), cell) >= 4.5


def test_equal_maps_share_a_panel():
    other = HeatMap(["layer 1"], ["0.90"], [[0.9]])
    figure = heat_map_figure({"one_shot": MAP, "searched": other, "omni": MAP})
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles[:2] == ["one_shot, omni", "searched"]


# Curves of training.

CURVES = [Curve("0", [100, 200], [0.5, 0.1]), Curve("0.90", [100, 200], [0.9, 0.2])]
REFERENCE = Curve("dense", [100, 200], [0.4, 0.08], colour="#000000", is_reference=True)


def test_a_panel_for_each_run_with_all_curves():
    figure = curves_figure({"omni": [*CURVES, REFERENCE], "other": CURVES[1:]}, "loss (nats)")
    first, second = figure.axes[:2]
    assert (first.get_title(), second.get_title()) == ("omni", "other")
    np.testing.assert_allclose(line(first, "0.90").get_ydata(), [0.9, 0.2])
    np.testing.assert_allclose(line(first, "dense").get_xdata(), [100, 200])
    assert line(first, "dense").get_linestyle() == "--"
    assert first.get_yscale() == "log"
    assert first.get_ylabel() == "loss (nats)" and first.get_xlabel() == "updates"


def test_a_name_has_the_same_shade_in_all_panels():
    figure = curves_figure({"omni": CURVES, "other": CURVES[1:]}, "loss")
    shade = [line(axes, "0.90").get_color() for axes in figure.axes[:2]]
    assert shade[0] == shade[1] != line(figure.axes[0], "0").get_color()


def test_names_at_the_ends_do_not_overlap():
    close = [Curve(f"0.{n}0", [1, 2], [0.5, 0.1 + n / 1e4]) for n in range(5)]
    figure = curves_figure({"omni": close}, "loss", names="sparsity")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert {t.get_text() for t in axes.texts} == {c.name for c in close} | {"sparsity"}
    boxes = sorted((t.get_window_extent() for t in axes.texts), key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 + 0.5 for a, b in itertools.pairwise(boxes))
    assert boxes[0].y0 > axes.bbox.y0 - 1


@pytest.mark.parametrize("heights", [[], [3.0], [0, 0, 0], [5, 1, 4, 40, 41], [10, 0]])
def test_spread_heights_keep_their_order_and_distance(heights):
    found = spread(heights, gap=2.0)
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = [found[i] for i in order]
    assert all(b - a >= 2.0 - 1e-9 for a, b in itertools.pairwise(placed))
    assert sum(found) == pytest.approx(sum(heights))
    assert all(place >= 1.0 for place in spread(heights, 2.0, lowest=1.0))


def test_names_of_curves_can_be_read():
    (axes,) = curves_figure({"omni": CURVES}, "loss", names="sparsity").axes
    colours = [matplotlib.colors.to_hex(text.get_color()) for text in axes.texts]
    assert len(colours) == 3 and all(contrast(one, "#ffffff") >= 4.5 for one in colours)


def test_figures_at_the_edge_can_be_read():
    _, (axes,) = wer_axes("clean")
    colours = [matplotlib.colors.to_hex(text.get_color()) for text in axes.texts]
    assert len(colours) == 2 and all(contrast(one, "#ffffff") >= 4.5 for one in colours)


def test_shades_go_from_dark_to_light():
    light = [sum(matplotlib.colors.to_rgb(colour)) for colour in shades(5)]
    assert light == sorted(light) and len(set(light)) == 5


# Files.


def test_a_figure_is_saved_as_png_and_svg_under_any_name(tmp_path):
    figure = heat_map_figure({"omni": MAP})
    files = save(figure, tmp_path / "new" / "wer-pruned_0.7")
    assert [path.name for path in files] == ["wer-pruned_0.7.png", "wer-pruned_0.7.svg"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in files[1].read_text()


def test_the_same_figure_gives_the_same_svg(tmp_path):
    first, second = (
        save(heat_map_figure({"omni": MAP}), tmp_path / name)[1].read_text() for name in "ab"
    )
    assert first == second
