# SPDX-License-Identifier: Apache-2.0
"""Programs in processes of their own, run from the recipe's folder. Imports no torch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

RECIPE = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port of this machine that nothing listens on, so that two runs of a test do not meet."""
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def environment(**changes: str) -> dict[str, str]:
    """This process's variables, by which python finds the recipe, too; ``changes`` win."""
    paths = [str(RECIPE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **changes}


def run_python(
    *words: object, check: bool = True, cwd: Path = RECIPE, **changes: str
) -> subprocess.CompletedProcess:
    """Run ``python3 ...``, from the recipe's folder unless told otherwise.

    Args:
      words: Its arguments.
      check: Whether to fail, with all that was said, where it ends with an error.
      cwd: Its working directory.
      changes: Variables of its environment.

    Returns:
      The process that ended, with ``stdout`` and ``stderr`` as text.
    """
    command = [sys.executable, *map(str, words)]
    env = environment(**changes)
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def run_module(*words: object, check: bool = True, **changes: str) -> subprocess.CompletedProcess:
    """Run ``python3 -m ...``, as :func:`run_python` does."""
    return run_python("-m", *words, check=check, **changes)


def start_module(*words: object) -> subprocess.Popen:
    """Start ``python3 -m ...`` on one thread, with a pipe for what it writes to ``stderr``."""
    command = [sys.executable, "-m", *map(str, words)]
    env = environment(OMP_NUM_THREADS="1")
    return subprocess.Popen(command, cwd=RECIPE, env=env, stderr=subprocess.PIPE, text=True)
