# SPDX-License-Identifier: Apache-2.0
"""Colours that can be read, on light and on dark pages; and figures for dark ones."""

from __future__ import annotations

import colorsys
import re
import xml.etree.ElementTree as ET

#: Background and text of a dark page; what is white and black in a figure takes these.
PAPER, INK = "#14171c", "#e8eaed"
#: What stands on a colour of its own, and keeps its own: ids of SVG groups begin with it.
KEPT = "on-colour"

# W3C, "Web Content Accessibility Guidelines 2.1" (2018), 1.4.3: enough for small text.
_CONTRAST = 4.5
_MIDDLE = 0.18  # luminance from which on black can be read better than white
_GREY = 0.04  # largest difference between the parts of a colour that has no hue
_COLOUR = re.compile(r"\b(fill|stroke): (#[0-9a-f]{6})\b")
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def for_dark(svg: str) -> str:
    """An SVG of matplotlib's for a page with the background :data:`PAPER`.

    White becomes the page's background, black its text, and greys what lies between; colours become
    lighter until they can be read. Images, and groups whose ``gid`` begins with :data:`KEPT`, stay.
    """
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _LINK)
    root = ET.fromstring(svg)
    root.set("fill", INK)  # matplotlib writes no black, since that is what SVG takes for none
    _recolour(root)
    return ET.tostring(root, encoding="unicode")


def _recolour(element: ET.Element) -> None:
    if element.get("id", "").startswith(KEPT):
        return
    if "style" in element.attrib:
        new = _COLOUR.sub(lambda m: f"{m[1]}: {dark_colour(m[2])}", element.get("style"))
        element.set("style", new)
    for child in element:
        _recolour(child)


def dark_colour(colour: str) -> str:
    """A colour of a light page, such as ``#0072b2``, on a dark one.

    >>> dark_colour("#ffffff") == PAPER, dark_colour("#000000") == INK
    (True, True)
    """
    parts = _parts(colour)
    if max(parts) - min(parts) < _GREY:
        share = sum(parts) / 3
        ends = zip(_parts(INK), _parts(PAPER), strict=True)
        return _text([ink + share * (paper - ink) for ink, paper in ends])
    return readable(colour, PAPER)


def readable(colour: str, paper: str = "#ffffff") -> str:
    """A colour as text on a background: as it is, or lighter or darker until it can be read.

    >>> readable("#0072b2"), readable("#ffa500")
    ('#0072b2', '#a36a00')
    """
    parts = _parts(colour)
    hue, lightness, saturation = colorsys.rgb_to_hls(*parts)
    step = 0.01 if _luminance(paper) < _MIDDLE else -0.01
    while contrast(_text(parts), paper) < _CONTRAST:
        lightness = min(1.0, max(0.0, lightness + step))
        parts = colorsys.hls_to_rgb(hue, lightness, saturation)
    return _text(parts)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours as the guidelines of the W3C define it, from 1 to 21.

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    low, high = sorted([_luminance(one), _luminance(other)])
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in _parts(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parts(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _text(parts) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
