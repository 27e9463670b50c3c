# SPDX-License-Identifier: Apache-2.0
"""Mistakes of the user or the corpus, told in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable


class RecipeError(Exception):
    """A mistake that the user can mend; its text says what, where and what to do, in one line."""


def run_main(main: Callable[[], int | None]) -> int:
    """Run a script's ``main`` and return its exit status.

    A :class:`RecipeError` becomes one line on stderr and status 1; anything else is a defect of
    ours and keeps its traceback.
    """
    try:
        return main() or 0
    except RecipeError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
