# SPDX-License-Identifier: Apache-2.0
"""Time of a chunk of a packed file: as WebAssembly under node, and native, on one thread.

Usage (from the recipe's folder, after `make` and `make web` in omni_runtime):
  PYTHONPATH=. python3 benchmarks/web_chunks.py --model model.packed --levels 0 0.5 0.9

All of a chunk: features, front end, encoder, search. WebAssembly and the native library take turns
level by level, in one run; times are the processes' own processor time, so other processes count
little. Ratios are medians over rounds with 95 % bootstrap intervals. The sound is noise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from subprocess import PIPE

import numpy as np

from emformer.errors import RecipeError, run_main
from emformer.experiment.description import cpu_name
from emformer.options import Parser
from omni_emformer.benchmark.timing import ratio
from omni_recognizer import Model, RecognizerError, load
from omni_recognizer.library import MADE
from omni_recognizer.sound import SAMPLE_RATE

_PAGE = MADE.parent / "web"
_SCRIPT = Path(__file__).with_suffix(".mjs")


def native(path: Path, instructions: str, samples: np.ndarray) -> Callable[[int], float]:
    """A function of a level's number to milliseconds of a chunk, by kernels of a name, or best."""
    os.environ["OMNI_INSTRUCTIONS"] = instructions
    model = _open(path)
    size, names = round(SAMPLE_RATE * model.chunk_seconds), list(model.levels)
    pieces = [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]

    def run(level: int) -> float:
        stream = model.stream(names[level], rules=None)
        begin = time.process_time()
        for piece in pieces:
            stream.accept(piece)
        return (time.process_time() - begin) / len(pieces) * 1e3

    return run


def _open(path: Path) -> Model:
    try:
        return load(path)
    except RecognizerError as e:
        raise RecipeError(str(e)) from e


def _level(model: Model, sparsity: str) -> str:
    """The name of a level."""
    try:
        return model.stream(sparsity).level
    except RecognizerError as e:
        raise RecipeError(str(e)) from e


@contextmanager
def wasm(command: list) -> Iterator[Callable[[int], float]]:
    """The same by WebAssembly, in a process that web_chunks.mjs runs in."""
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as node:

        def run(level: int) -> float:
            print(level, file=node.stdin, flush=True)
            return float(node.stdout.readline())

        yield run
        node.stdin.close()


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a packed file")
    parser.add_argument("--page", type=Path, default=_PAGE, help="where make web put it")
    parser.add_argument(
        "--levels", nargs="+", default=["0", "0.5", "0.9"], help="names, sparsities"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of sound (default 10)")
    parser.add_argument("--rounds", type=int, default=20, help="of all kinds (default 20)")
    args = parser.parse_args()
    if shutil.which("node") is None:
        raise RecipeError("there is no node")
    samples = np.random.default_rng(0).standard_normal(int(16000 * args.seconds)) * 0.05
    samples = samples.astype(np.float32)
    model = _open(args.model)
    numbers = {name: number for number, name in enumerate(model.levels)}
    levels = {name: numbers[_level(model, name)] for name in args.levels}
    ways = {"native plain": native(args.model, "plain", samples)}
    ways["native best"] = native(args.model, "", samples)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        samples.tofile(Path(folder) / "samples")
        command = ["node", _SCRIPT, args.page.resolve(), args.model, Path(folder) / "samples"]
        for name, unit in (("wasm plain", "plain"), ("wasm", "simd128")):
            ways[name] = stack.enter_context(wasm([*command, unit]))
            for level in list(levels.values()) * 5:  # till its compiler has done what it will
                ways[name](level)
        times = {(way, name): [] for way in ways for name in levels}
        for _ in range(args.rounds):
            for way, name in times:
                times[way, name].append(ways[way](levels[name]))
    first = next(iter(levels))
    print(f"{'':22} {'ms':>8} {'of native best':>22} {'of level ' + first:>22}")
    for (way, name), found in times.items():
        shown = [f"{way + ' ' + name:22} {median(found):8.3f}"]
        for other in (times["native best", name], times[way, first]):
            shown.append("{:8.2f} ({:.2f}-{:.2f})".format(*ratio(found, other)))
        print(" ".join(shown))
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    print(f"\n{cpu_name()}, 1 thread, node {version}; best is {model.instructions}")


if __name__ == "__main__":
    run_main(main)
