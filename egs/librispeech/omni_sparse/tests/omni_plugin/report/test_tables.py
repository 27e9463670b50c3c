# SPDX-License-Identifier: Apache-2.0
"""Tables say what the records say."""

from __future__ import annotations

from omni_plugin.report import Difference, Point, markdown_table, size_table, wer_table


def point(system="omni", subnet="dense", split="clean", nonzero=1000, wer=8.0, **changes):
    fields = {"num_params": 1000, "low": wer - 1, "high": wer + 1, **changes}
    return Point(system, subnet, split, num_nonzero=nonzero, wer=wer, **fields)


def rows(table: str) -> list[list[str]]:
    """Cells of a Markdown table, without its rule."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert len({len(line) for line in lines}) == 1
    return [line for number, line in enumerate(lines) if number != 1]


POINTS = [
    point("dense", wer=8.0),
    point("dense", split="other", wer=20.0),
    point("omni", "0.90", nonzero=300, wer=10.0, difference=Difference(2.0, 0.5, 3.5, 0.25)),
    point("omni", "0.50", nonzero=600, wer=8.4, difference=Difference(0.4, -0.3, 1.1, 0.05)),
    point("omni", "0.50", "other", 600, 19.0, difference=Difference(-1.0, -2.0, -0.1)),
]


def test_a_row_a_network_from_large_to_small():
    table = rows(wer_table(POINTS, "dense"))
    assert [row[:3] for row in table[1:]] == [
        ["dense", "dense", "1,000"],
        ["omni", "0.50", "600"],
        ["omni", "0.90", "300"],
    ]


def test_columns_are_the_splits_in_order():
    head = rows(wer_table(POINTS, "dense"))[0]
    assert head[3:] == [
        "clean WER % [95 %]", "against dense [95 %]", "other WER % [95 %]", "against dense [95 %]",
    ]  # fmt: skip


def test_rates_and_differences_stand_with_their_intervals():
    _, dense, half, tenth = rows(wer_table(POINTS, "dense"))
    assert dense[3:] == ["8.00 [7.00, 9.00]", "-", "20.00 [19.00, 21.00]", "-"]
    assert half[3:5] == ["8.40 [7.40, 9.40]", "+0.40 (+5 %) [-0.30, +1.10]"]
    assert tenth[4] == "**+2.00** (+25 %) [+0.50, +3.50]"


def test_a_difference_is_bold_only_if_its_interval_leaves_out_zero():
    assert rows(wer_table(POINTS, "dense"))[2][6] == "**-1.00** [-2.00, -0.10]"
    assert not Difference(0.1, 0.0, 0.2).is_sure


def test_what_was_not_decoded_is_a_dash():
    assert rows(wer_table(POINTS, "dense"))[3][5:] == ["-", "-"]


def test_sizes_are_exact():
    table = rows(size_table(POINTS))
    assert table[2] == ["omni", "0.50", "1,000", "600", "400", "40.0 %"]
    assert len(table) == 4  # each network once, whatever it was decoded on


def test_words_stand_left_and_numbers_right():
    rule = markdown_table(["a", "b", "c"], [], text_columns=2).splitlines()[1]
    assert rule == "| :--- | :--- | ---: |"
