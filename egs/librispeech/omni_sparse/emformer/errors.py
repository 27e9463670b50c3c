# SPDX-License-Identifier: Apache-2.0
"""Mistakes of the user or the corpus, told in one line."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

_NOBODY_READS = 128 + 13  # SIGPIPE
_ELSEWHERE = "choose a folder where you may write, or copy this one"
_ROOM = "make room and run the same command again"
_REMEDIES = {
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: _ELSEWHERE,
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.ENOTDIR: "a file is where a folder is meant",
    errno.EISDIR: "a folder is where a file is meant",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class RecipeError(Exception):
    """A mistake that the user can mend; its text says what, where and what to do, in one line."""


def run_main(main: Callable[[], int | None]) -> int:
    """Run a script's ``main`` and return its exit status.

    A :class:`RecipeError` becomes one line on stderr and status 1, and so does a file or folder
    that the system withholds; anything else is a defect of ours and keeps its traceback. Whoever
    reads standard output may stop, as ``head`` does: that is status 141, the shells' for it, and
    nothing to tell.
    """
    try:
        return main() or 0
    except RecipeError as e:
        said = str(e)
    except BrokenPipeError:
        # What is still to be written at the exit goes nowhere, or Python would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    except OSError as e:
        remedy = _REMEDIES.get(e.errno or 0)
        if remedy is None or e.filename is None:
            raise
        said = f"{e.filename}: {e.strerror}; {remedy}"
    print(f"error: {said}", file=sys.stderr)
    return 1
