# SPDX-License-Identifier: Apache-2.0
"""report.html is one file, says what RESULTS.md says, and can be read on light and dark screens."""

from __future__ import annotations

import re

import pytest

from emformer.errors import RecipeError
from omni_emformer.report.html import DARK, LIGHT, html_page
from omni_plugin.report import for_dark
from omni_plugin.report.dark import contrast
from tests.support.read_html import PageReader, svg_of

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><path style="fill: #ffffff"/></svg>'
TEXT = """# Results: a & b

First *words*.

## WER: greedy

| system | WER % [95 %] |
| :--- | ---: |
| omni | **5.10** (+20 %) [4.00, 6.25] |
| a_b_c | 7 |

![WER "against" size](plot.png)

<details><summary>2 rows</summary>

| name | cost |
| :--- | ---: |
| front/0 | 12 |

</details>

## Commands

```
python3 -m local.x --a '<b>'
```
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("page")
    (folder / "plot.svg").write_text(SVG)
    return html_page(TEXT, folder)


@pytest.fixture(scope="module")
def read(text) -> PageReader:
    return PageReader(text)


# One file.


def test_it_takes_nothing_from_elsewhere(read, text):
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in read.tags}
    taken = [a[name] for _, a in read.tags for name in ("src", "srcset", "href") if name in a]
    assert taken and all(one.startswith(("data:image/svg+xml;base64,", "#")) for one in taken)
    assert "url(" not in text and "@import" not in text


def test_its_policy_lets_a_browser_load_nothing_from_elsewhere(read):
    (policy,) = [a["content"] for a in read.of("meta") if a.get("http-equiv")]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_link_of_the_contents_leads_to_a_heading(read):
    links = [a["href"] for a in read.of("a")]
    assert links == [f"#{a['id']}" for a in read.of("h2")] and len(links) == 2


# The same as the Markdown page.


def test_tables_have_the_same_cells(read):
    assert read.rows == [
        ["system", "WER % [95 %]"],
        ["omni", "5.10 (+20 %) [4.00, 6.25]"],
        ["a_b_c", "7"],
        ["name", "cost"],
        ["front/0", "12"],
    ]


def test_numbers_stand_to_the_right(read):
    cells = [a.get("style") for a in read.of("td")]
    assert cells[:2] == ["text-align: left;", "text-align: right;"]


def test_commands_are_as_they_were(read):
    assert "python3 -m local.x --a '<b>'\n" in read.words


def test_the_title_is_that_of_the_page(text):
    assert "<title>Results: a &amp; b</title>" in text


# Pictures.


def test_a_picture_is_there_in_the_colours_of_both_screens(read):
    ((light,), (dark,)) = read.of("img"), read.of("source")
    assert svg_of(light["src"]) == SVG
    assert dark["media"] == "(prefers-color-scheme: dark)"
    assert svg_of(dark["srcset"]) == for_dark(SVG) != SVG


def test_a_picture_keeps_its_words(read):
    (image,) = read.of("img")
    assert image["alt"] == 'WER "against" size'


def test_a_picture_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"plot.svg: cannot be read .*; draw it again"):
        html_page(TEXT, tmp_path)


# To read.


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_enough_contrast(colours):
    for text in ("ink", "soft", "link"):
        assert contrast(colours[text], colours["paper"]) >= 4.5
    assert contrast(colours["ink"], colours["shade"]) >= 4.5


def test_both_screens_have_all_colours(text):
    assert LIGHT.keys() == DARK.keys() == set(re.findall(r"var\(--(\w+)\)", text))
    assert "color-scheme: light dark" in text


def test_what_is_wide_scrolls_by_itself(read):
    wide = [i for i, (_, a) in enumerate(read.tags) if a.get("class") == "wide"]
    assert [read.tags[i + 1][0] for i in wide] == ["table", "picture", "table"]
    assert all(read.tags[i][1]["tabindex"] == "0" for i in wide)  # by keys, too


def test_intervals_are_not_broken_over_lines(text):
    assert "<span>(+20 %)</span> <span>[4.00, 6.25]</span></td>" in text
    assert "WER % <span>[95 %]</span></th>" in text


def test_a_narrow_screen_is_not_taken_for_a_wide_one(read):
    (view,) = [a["content"] for a in read.of("meta") if a.get("name") == "viewport"]
    assert view == "width=device-width, initial-scale=1"
