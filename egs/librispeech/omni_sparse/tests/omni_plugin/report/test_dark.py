# SPDX-License-Identifier: Apache-2.0
"""Figures on dark pages can be read, and say what they said on light ones."""

from __future__ import annotations

import colorsys
import re
import xml.etree.ElementTree as ET

import pytest

from omni_plugin.report import for_dark, heat_map_figure, save, styles
from omni_plugin.report.dark import INK, KEPT, PAPER, contrast, dark_colour, readable
from omni_plugin.report.heat_map import HeatMap

SVG = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'
ENOUGH = 4.5  # W3C, for small text
SYSTEMS = [f"system {number}" for number in range(16)]


def recoloured(inner: str) -> str:
    return for_dark(SVG.format(inner))


def hue(colour: str) -> float:
    return colorsys.rgb_to_hls(*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)))[0]


# Colours.


@pytest.mark.parametrize("colour", sorted({style.colour for style in styles(SYSTEMS).values()}))
def test_every_colour_of_a_line_can_be_read(colour):
    assert contrast(dark_colour(colour.lower()), PAPER) >= ENOUGH


@pytest.mark.parametrize("colour", ["#0072b2", "#882255", "#332288", "#56b4e9"])
def test_a_colour_keeps_its_hue(colour):
    assert hue(dark_colour(colour)) == pytest.approx(hue(colour), abs=0.02)


@pytest.mark.parametrize("colour", sorted({style.colour for style in styles(SYSTEMS).values()}))
@pytest.mark.parametrize("paper", ["#ffffff", PAPER, "#777777", "#808080"])
def test_text_in_any_colour_can_be_read_on_any_paper(colour, paper):
    assert contrast(readable(colour.lower(), paper), paper) >= ENOUGH


def test_a_colour_that_can_be_read_stays():
    assert dark_colour("#e69f00") == "#e69f00"


def test_greys_change_their_order():
    found = [contrast(dark_colour(grey), PAPER) for grey in ("#000000", "#4d4d4d", "#e6e6e6")]
    assert found == sorted(found, reverse=True) and found[-1] > 1


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#777777", "#ffffff", 4.48), ("#0000ff", "#ffffff", 8.59), ("#ff0000", "#000000", 5.25)],
)
def test_contrast_is_that_of_published_examples(one, other, ratio):
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.01)


# Figures.


def test_white_and_black_of_a_figure_become_those_of_the_page():
    found = recoloured('<path style="fill: #ffffff; stroke: #000000; stroke-width: 2"/>')
    assert f'style="fill: {PAPER}; stroke: {INK}; stroke-width: 2"' in found


def test_what_has_no_colour_is_black_and_so_becomes_the_pages_text():
    assert ET.fromstring(recoloured("<path/>")).get("fill") == INK


def test_what_stands_on_a_colour_of_its_own_stays():
    inner = f'<g id="{KEPT}-0-1-2"><path style="fill: #ffffff"/></g>'
    assert 'style="fill: #ffffff"' in recoloured(inner)


def test_images_stay():
    image = '<image href="data:image/png;base64,AAAA" width="3"/>'
    assert 'href="data:image/png;base64,AAAA"' in recoloured(image)


@pytest.fixture(scope="module")
def heat_map(tmp_path_factory) -> str:
    shown = HeatMap(["layer 1", "all"], ["0", "0.90"], [[0.0, 0.9], [None, 0.7]], 1)
    path = tmp_path_factory.mktemp("dark") / "map"
    return save(heat_map_figure({"omni": shown}), path)[1].read_text()


def test_a_figure_has_white_only_where_it_was_kept(heat_map):
    found = for_dark(heat_map)
    assert "#ffffff" in heat_map and "#ffffff" in found
    root = ET.fromstring(found)
    for parent in root.iter():
        for child in list(parent):
            if child.get("id", "").startswith(KEPT):
                parent.remove(child)
    assert "#ffffff" not in ET.tostring(root, encoding="unicode")


def test_a_figure_keeps_its_shapes(heat_map):
    def shapes(svg: str) -> list[list[str]]:
        return [found.split() for found in re.findall(r' d="([^"]*)"', svg)]

    assert len(shapes(heat_map)) > 10
    assert shapes(for_dark(heat_map)) == shapes(heat_map)


def test_no_two_texts_on_cells_share_an_id(heat_map):
    kept = re.findall(rf'id="({KEPT}[^"]*)"', heat_map)
    assert len(kept) == len(set(kept)) == 3  # the cell without a number has no colour of its own
