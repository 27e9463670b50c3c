# SPDX-License-Identifier: Apache-2.0
"""Times as people say them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Seconds as people say them.

    Example:
      >>> clock(75)
      '1 min 15 s'
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
