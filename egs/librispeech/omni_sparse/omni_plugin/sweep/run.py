# SPDX-License-Identifier: Apache-2.0
"""Does a sweep's missing cells one by one, and says how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from omni_plugin.sweep.grid import Cell, Job, plan


def run_sweep(
    cells: Sequence[Cell],
    done: Collection[Cell],
    decode: Callable[[Job], Sequence[str]],
    tell: Callable[[str], None] = print,
    now: Callable[[], float] = time.monotonic,
) -> int:
    """Decode what is missing.

    Args:
      cells: All cells of the sweep.
      done: Cells that there are results of; any others are ignored.
      decode: Decodes the cells of a job and stores their results for good before it returns; gives
        what to say of each cell. Whatever it raises ends the sweep, which can then go on from
        the stored results.
      tell: Says a line.
      now: The time in seconds.

    Returns:
      How many cells were decoded.
    """
    jobs = plan(cells, done)
    missing = sum(len(job.cells) for job in jobs)
    before = count = len(cells) - missing
    tell(f"{len(cells)} cells: {before} done before, {missing} to decode in {len(jobs)} runs")
    row = _row_format(cells)
    start = now()
    for job in jobs:
        said = decode(job)
        spent = now() - start
        ends = count + len(job.cells)
        left = spent * (len(cells) - ends) / (ends - before)
        for cell, text in zip(job.cells, said, strict=True):
            count += 1
            line = row.format(count, len(cells), cell=cell, variant=cell.variant) + "  " + text
            if count == ends:  # the cells of a job end together
                line += f"  ({_clock(spent)} so far"
                line += f", {_clock(left)} left)" if count < len(cells) else ")"
            tell(line)
    return missing


def _row_format(cells: Sequence[Cell]) -> str:
    """A line's head with columns as wide as the sweep needs them."""

    def width(values) -> int:
        return max((len(value) for value in values), default=0)

    digits = len(str(len(cells)))
    columns = [
        f"{{variant.system:<{width(c.variant.system for c in cells)}}}",
        f"{{variant.subnet:<{width(c.variant.subnet for c in cells)}}}",
        f"{{cell.split:<{width(c.split for c in cells)}}}",
        f"{{cell.mode:<{width(c.mode for c in cells)}}}",
        f"{{cell.method:<{width(c.method for c in cells)}}}",
    ]
    return f"[{{:>{digits}}}/{{}}] " + "  ".join(columns)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
