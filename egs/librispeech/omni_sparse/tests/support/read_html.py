# SPDX-License-Identifier: Apache-2.0
"""What stands in an HTML page."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

_VOID = {"meta", "img", "source", "br", "hr"}


class PageReader(HTMLParser):
    """What a page has, and whether its tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.inside: list[list[str]] = []  # of each tag, those around it
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside.append(list(self._open))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag not in _VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def svg_of(data: str) -> str:
    """The picture of a data URL."""
    return base64.b64decode(data.removeprefix("data:image/svg+xml;base64,")).decode()
