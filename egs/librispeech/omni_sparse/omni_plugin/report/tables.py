# SPDX-License-Identifier: Apache-2.0
"""Tables as Markdown text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from omni_plugin.report.points import Point, by_network, splits_of

_NOTHING = "-"


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1
) -> str:
    """A Markdown table.

    Args:
      head: Names of the columns.
      rows: As many texts each.
      text_columns: How many columns, from the left, are words; the others are numbers and stand
        to the right.

    >>> print(markdown_table(["system", "WER %"], [["omni", "7.1"]]))
    | system | WER % |
    | :--- | ---: |
    | omni | 7.1 |
    """
    rules = [":---" if column < text_columns else "---:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rules, *rows))


def wer_table(points: Iterable[Point], reference: str) -> str:
    """Word error rates: a row for each (system, subnet), two columns for each split.

    Args:
      points: Of one method and mode.
      reference: What the differences are to, for the heads of their columns.
    """
    points = list(points)
    splits = splits_of(points)
    head = ["system", "size", "non-zero parameters"]
    for split in splits:
        head += [f"{split} WER % [95 %]", f"against {reference} [95 %]"]
    rows = []
    for (system, subnet), found in by_network(points).items():
        row = [system, subnet, f"{next(iter(found.values())).num_nonzero:,}"]
        for split in splits:
            row += _cells(found.get(split))
        rows.append(row)
    return markdown_table(head, rows, text_columns=2)


def _cells(point: Point | None) -> list[str]:
    if point is None:
        return [_NOTHING, _NOTHING]
    wer = f"{point.wer:.2f} [{point.low:.2f}, {point.high:.2f}]"
    if point.difference is None:
        return [wer, _NOTHING]
    d = point.difference
    share = "" if d.share is None else f" ({100 * d.share:+.0f} %)"
    mean = f"**{d.mean:+.2f}**" if d.is_sure else f"{d.mean:+.2f}"
    return [wer, f"{mean}{share} [{d.low:+.2f}, {d.high:+.2f}]"]


def size_table(points: Iterable[Point]) -> str:
    """How many parameters each network has, and how many of them are zero."""
    head = ["system", "size", "parameters", "non-zero", "zeros", "zeros / parameters"]
    rows = []
    for (system, subnet), found in by_network(points).items():
        point = next(iter(found.values()))
        zeros = point.num_params - point.num_nonzero
        numbers = [f"{n:,}" for n in (point.num_params, point.num_nonzero, zeros)]
        rows.append([system, subnet, *numbers, f"{100 * zeros / point.num_params:.1f} %"])
    return markdown_table(head, rows, text_columns=2)
