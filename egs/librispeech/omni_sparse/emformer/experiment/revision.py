# SPDX-License-Identifier: Apache-2.0
"""Which revision of the code made a result."""

import subprocess
from pathlib import Path


def git_revision(folder: Path | None = None) -> str | None:
    """The commit of `folder` (default: of this recipe), with "-dirty" where tracked files differ.

    None outside a git repository, or where there is no git.
    """
    folder = Path(__file__).resolve().parent if folder is None else Path(folder)

    def git(*command: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        revision = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{revision}-dirty" if changed else revision
