# SPDX-License-Identifier: Apache-2.0
"""For mkdocs: files outside docs/ that pages link to become part of the site.

In the repository's viewer a page links to the file it means, such as ../ARCHITECTURE.md. The site
has these files, and what they link to, under repository/, at their paths from its root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(\))")


def linked(path: Path) -> Iterator[Path]:
    """Files of the repository that a page links to."""
    for found in _LINK.finditer(path.read_text()):
        target = Path(os.path.normpath(path.parent / found[2]))
        if target.is_file():
            yield target


def place(path: Path) -> str:
    """Where the site has a file."""
    own = path.relative_to(ROOT).as_posix()
    return own.removeprefix("docs/") if own.startswith("docs/") else f"repository/{own}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    waiting = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        for path in linked(waiting.pop()):
            if path in seen or path.is_relative_to(ROOT / "docs"):
                continue
            seen.add(path)
            files.append(File.generated(config, place(path), abs_src_path=str(path)))
            if path.suffix == ".md":
                waiting.append(path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    source = Path(page.file.abs_src_path)

    def moved(found: re.Match) -> str:
        target = Path(os.path.normpath(source.parent / found[2]))
        if not target.is_file():
            return found[0]  # mkdocs says that it is missing
        uri = relpath(place(target), os.path.dirname(page.file.src_uri) or ".")
        return f"{found[1]}{uri}{found[3] or ''}{found[4]}"

    return _LINK.sub(moved, markdown)
