# SPDX-License-Identifier: Apache-2.0
"""Processes of their own, for what one process cannot measure twice."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

RECIPE = Path(__file__).resolve().parents[1]


def output_of(command: Sequence[str], **environment: str) -> str:
    """What a command prints, run where we are; it finds the recipe's modules and the user's.

    Raises:
      subprocess.CalledProcessError: It failed; what it said is on stderr.
    """
    paths = [str(RECIPE), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
