# SPDX-License-Identifier: Apache-2.0
"""Memory that a way to run a sub-network takes, measured in a process of its own.

``python3 -m omni_emformer.benchmark.memory FOLDER WAY`` prints the bytes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from emformer.data.features import SAMPLE_RATE
from emformer.errors import RecipeError
from omni_emformer.benchmark.resident import is_told, reset_peak, resident
from omni_emformer.benchmark.ways import WAYS
from omni_emformer.export.sherpa import child_environment


def peak_memory(folder: Path, way: str) -> int | None:
    """Peak of resident memory while it decodes, above that before the model was loaded, in bytes.

    None where the system does not tell (it is Linux that does).

    Raises:
      RecipeError: The process failed.
    """
    if not is_told():
        return None
    command = [sys.executable, "-m", "omni_emformer.benchmark.memory", str(folder), way]
    env = child_environment()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        raise RecipeError(f"{way} on {folder} ended with {done.returncode}: {said}")
    return int(done.stdout)


def main() -> None:
    folder, way = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    noise = np.random.default_rng(0).standard_normal(5 * SAMPLE_RATE).astype(np.float32)
    before = resident("VmRSS")
    run = WAYS[way](folder)
    reset_peak()  # loading may take more for a moment
    run(0.1 * noise)
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    main()
