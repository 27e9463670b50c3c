# SPDX-License-Identifier: Apache-2.0
"""Links within the repository's pages lead somewhere."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.processes import RECIPE

ROOT = RECIPE.parents[2]
# Folders of data, environments and builds are nobody's pages.
_FOLDERS = (".", "docs", ".github/ISSUE_TEMPLATE")
_FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def pages() -> list[Path]:
    found = [path for folder in _FOLDERS for path in (ROOT / folder).glob("*.md")]
    found += (ROOT / "docs").glob("*.ipynb")
    found += (RECIPE / "results").rglob("*.md")
    return sorted(found)


def text_of(path: Path) -> str:
    """A page's text without code; of a notebook, that of its Markdown cells."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return _FENCE.sub("", text)


@cache
def anchors(path: Path) -> set[str]:
    """What links to a page's headings may say, by GitHub's rule."""
    found: set[str] = set()
    for heading in _HEADING.findall(text_of(path)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        same = sum(one == name or re.fullmatch(rf"{re.escape(name)}-\d+", one) is not None
                   for one in found)  # fmt: skip
        found.add(f"{name}-{same}" if same else name)
    return found


def dead_links(path: Path) -> list[str]:
    """Links of a page that lead to no file, or to no heading of it."""
    dead = []
    for link in _LINK.findall(_CODE.sub("", text_of(path))):
        if re.match(r"\w+:", link):
            continue  # of the web
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        is_page = target.suffix in (".md", ".ipynb")
        if not target.exists() or (anchor and is_page and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert not dead_links(path)


@pytest.mark.parametrize(
    ("link", "is_dead"),
    [
        ("other.md", False),
        ("other.md#a-heading-of-two", False),
        ("#own", False),
        ("https://example.org/none.md", False),
        ("picture.png", True),
        ("other.md#none", True),
        ("#none", True),
    ],
)
def test_a_dead_link_is_found(tmp_path, link, is_dead):
    (tmp_path / "other.md").write_text("# A `heading`, of two\n\n```\n# None\n```\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Own\n\n`[code](code.md)` [text]({link})\n")
    assert dead_links(page) == [link] * is_dead


def test_a_heading_that_comes_twice_has_a_number(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Same\n\n## Same\n")
    assert anchors(page) == {"same", "same-1"}


def test_every_page_of_the_documentation_is_in_its_menu_and_contents():
    menu, contents = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs" / "index.md").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert f" {path.name}\n" in menu, f"mkdocs.yml lacks {path.name}"
        assert path.name == "index.md" or f"({path.name})" in contents, path.name
