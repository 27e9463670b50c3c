# SPDX-License-Identifier: Apache-2.0
"""A report's page as one HTML file that needs nothing else: no network, no script, no other file.

It is the Markdown page with its pictures in it, so that both say the same. A picture is there
twice, as SVG in the colours of a light and of a dark page; the browser shows that of the reader's
setting.
"""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import markdown

from emformer.errors import RecipeError
from omni_plugin.report import for_dark
from omni_plugin.report.dark import INK, PAPER

#: Colours of the page by what they are for, on light and on dark screens.
LIGHT = {
    "paper": "#ffffff", "ink": "#1b1f24", "soft": "#57606a", "line": "#d8dde3",
    "shade": "#f3f5f7", "link": "#0b5cad",
}  # fmt: skip
DARK = {
    "paper": PAPER, "ink": INK, "soft": "#a0a8b2", "line": "#353b44",
    "shade": "#1f242b", "link": "#7cb8f2",
}  # fmt: skip


def _colours(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


_STYLE = f"""
:root {{ color-scheme: light dark; {_colours(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_colours(DARK)} }} }}
body {{ margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }}
h1, h2 {{ line-height: 1.2; text-wrap: balance; }}
h2 {{ margin-top: 2.5rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line);
  font-size: 1.3rem; }}
p, li {{ max-width: 48rem; }}
ul {{ padding-left: 1.4rem; }}
a {{ color: var(--link); }}
nav ul {{ display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; list-style: none; }}
.wide {{ overflow-x: auto; margin: 1rem 0; }}
table {{ border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }}
th {{ color: var(--soft); font-weight: 600; }}
th:first-child, td:first-child {{ position: sticky; left: 0; background: var(--paper); }}
tbody tr:hover td {{ background: var(--shade); }}
td {{ min-width: 3.2rem; }}
td span, th span, code {{ white-space: nowrap; }}
pre code {{ white-space: pre; }}
img {{ display: block; height: auto; min-width: 36rem; max-width: 100%; }}
summary {{ cursor: pointer; }}
pre {{ overflow-x: auto; padding: .8rem; background: var(--shade); font-size: .8rem; }}
@media print {{ .wide {{ overflow: visible; }} img {{ min-width: 0; }} }}
"""

# The policy refuses whatever a mistake might add that comes from elsewhere.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
"""
_PICTURE = re.compile(r'<p><img alt="([^"]*)" src="([^"]*)\.png" /></p>')
_CELL = re.compile(r"<t[dh]\b[^>]*>.*?</t[dh]>", re.DOTALL)
# An interval or a share in a cell: narrow screens break lines before it and not within.
_UNBROKEN = re.compile(r"\[[-+.\d]+(?:, [-+.\d]+| %)\]|\([-+.\d]+ %\)")


def html_page(text: str, folder: Path) -> str:
    """A Markdown page as HTML, with its pictures.

    Args:
      text: Begins with its title. A picture stands alone in its paragraph; of each ``NAME.png``
        there is a ``NAME.svg`` beside it.
      folder: From which pictures are named.

    Raises:
      RecipeError: A picture cannot be read.
    """
    title = text.partition("\n")[0].lstrip("# ")
    # Within details, too, Markdown is Markdown; GitHub, which takes it so anyway, needs no word.
    text = text.replace("<details>", '<details markdown="1">')
    maker = markdown.Markdown(
        extensions=["tables", "fenced_code", "md_in_html", "toc"],
        extension_configs={"toc": {"toc_depth": "2-2"}},
    )
    body = maker.convert(text)
    body = _CELL.sub(lambda cell: _UNBROKEN.sub(r"<span>\g<0></span>", cell[0]), body)
    body = body.replace("<table>", '<div class="wide" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")
    body = _PICTURE.sub(lambda found: _picture(found[1], folder / f"{found[2]}.svg"), body)
    body = body.replace("</h1>", f"</h1>\n<nav>{maker.toc}</nav>", 1)
    head = _HEAD.format(title=html.escape(title), style=_STYLE)
    return f"{head}<main>\n{body}\n</main>\n</body>\n</html>\n"


def _picture(text: str, path: Path) -> str:
    """Both variants of a picture; ``text`` is as HTML has it."""
    try:
        svg = path.read_text()
    except OSError as e:
        raise RecipeError(f"{path}: cannot be read ({e.strerror}); draw it again") from None
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="{_data(for_dark(svg))}">'
    light = f'<img alt="{text}" src="{_data(svg)}">'
    return f'<div class="wide" tabindex="0"><picture>{dark}{light}</picture></div>'


def _data(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
