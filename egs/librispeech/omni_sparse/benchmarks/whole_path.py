# SPDX-License-Identifier: Apache-2.0
"""Time of a chunk from samples to text by the C library, beside its encoder alone, and its memory.

Usage (from the recipe's folder, after `make` in omni_runtime):
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/whole_path.py --config conf/demo.yaml

A transducer of random weights at each sparsity, packed; a stream of noise whose left context is
full. All kinds take turns in one process, on one thread: the encoder alone, in Python
(omni_emformer.runtime); samples to text, with greedy search, in Python and in C. The bias of blank
is such that one frame in eight says a symbol, about what speech has. Memory is what a process of
its own takes more for a file and its level, when it has run another, small model.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.child import output_of
from emformer.config import FRAME_SHIFT_MS, load_config
from emformer.data.features import SAMPLE_RATE
from emformer.decoding.model import DecodingInfo
from emformer.errors import run_main
from emformer.model import BLANK_ID, Transducer, make_model
from emformer.options import Parser
from omni_emformer.benchmark.timing import finish, interleave, ratio
from omni_emformer.live.features import LiveFeatures
from omni_emformer.live.transcriber import Stream, Transcriber
from omni_emformer.runtime.model import load_packed, pack_transducers
from omni_plugin import SuperNet
from omni_recognizer import load
from omni_recognizer.library import find_library

_VALUES = "float32", "int8"
_SYMBOLS = 1 / 8  # of the frames
# Most of the encoder's own time that samples to text may take, and of a file's bytes that it may.
_MOST_TIME, _MOST_BYTES = 1.1, 1.2
_SECONDS = 8  # of noise

# Without torch, whose memory would hide what a file takes.
_MEMORY = """
import sys
from pathlib import Path
import numpy as np
from omni_emformer.benchmark.resident import reset_peak, resident
from omni_recognizer.library import CLibrary
from omni_recognizer import load

def run(path):
    stream = load(path, library).stream(rules=None)
    for block in np.split(samples, len(samples) // 1600):
        stream.accept(block)
    return stream

path, library = sys.argv[1], CLibrary(Path(sys.argv[2]))
samples = np.full(16000, 0.05, np.float32)
small = run("models/commands")  # stays open, so that its memory is not used again
before = resident("VmRSS")
reset_peak()
run(path)
print(resident("VmHWM") - before)
"""


def memory_of(path: Path, library: Path) -> int:
    """Bytes that a process takes more when it opens a file and runs its first level.

    It has run another, small model before: what any takes, such as the library, is not counted.
    """
    return int(output_of([sys.executable, "-c", _MEMORY, str(path), str(library)]))


@torch.no_grad()
def set_blank(model: Transducer, samples: np.ndarray) -> None:
    """Let it say a symbol in about one of eight frames of the samples, by the bias of blank."""
    features = LiveFeatures().accept(samples)[None]
    out, _ = model.encode(features, torch.tensor([features.size(1)]))
    model.joiner.decoder_proj.weight *= 1e-3  # or what was said would change what is said next
    history = torch.full((1, model.context_size), BLANK_ID)
    logits = model.join(out[0], model.predict(history))
    above = logits[:, BLANK_ID + 1 :].max(1).values - logits[:, BLANK_ID]
    model.joiner.output_linear.bias[BLANK_ID] += above.quantile(1 - _SYMBOLS)


def pack(
    model: Transducer, level: float, values: str, config: str, samples: np.ndarray, path: Path
) -> None:
    """Write the model at a level, as the file's only sub-network."""
    supernet = SuperNet(model, "8x1", include=[r"^encoder\.emformer\."])
    tokens = ["<blk>", *(f"\u2581w{i}" for i in range(1, model.vocab_size))]
    about = {"checkpoint": "", "corpus": "", "name": "", "subnet": f"{level:.2f}"}
    numbers = dict.fromkeys(("seed", "train_updates", "train_passes"), 0)
    spent = {"train_cost": 0.0, "train_seconds": 0.0}
    info = DecodingInfo(config=load_config(config), tokens=tokens, **about, **numbers, **spent)

    def make() -> tuple[Transducer, DecodingInfo]:
        pruned = supernet.baked_model(level)
        set_blank(pruned, samples)
        info.measure(pruned)
        return pruned, info

    pack_transducers(path, [make], values)


def encoder_alone(path: Path, level: str) -> Callable[[], object]:
    """A chunk of a stream through the encoder's layers, whose left context is full."""
    model, info = load_packed(path, level)
    emformer, config = model.encoder.emformer, info.config.model
    x = torch.randn(1, config.segment + config.right_context, config.encoder_dim)
    lengths, states = torch.tensor([x.size(1)]), None

    def call() -> None:
        nonlocal states
        _, _, states = emformer.infer(x, lengths, states)

    for _ in range(-(-config.left_context // config.segment)):
        call()
    return call


def _chunks(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Chunks of the samples, round and round."""
    number = len(samples) // size
    return itertools.cycle(np.split(samples[: number * size], number))


def in_python(path: Path, level: str, samples: np.ndarray) -> Callable[[], object]:
    """A chunk of a stream from samples to text in Python."""
    model, info = load_packed(path, level)
    stream = Stream(Transcriber(model, info))
    chunks = _chunks(samples, model.chunk_frames * FRAME_SHIFT_MS * SAMPLE_RATE // 1000)
    stream.accept(samples)
    return lambda: stream.accept(next(chunks))


def in_c(path: Path, samples: np.ndarray) -> Callable[[], object]:
    """A chunk of a stream from samples to text in C."""
    model = load(path)
    stream = model.stream(rules=None)
    chunks = _chunks(samples, round(model.chunk_seconds * SAMPLE_RATE))
    stream.accept(samples)
    return lambda: stream.accept(next(chunks))


def measure(args: argparse.Namespace, folder: Path) -> list[dict]:
    """A row of figures for each type of values and sparsity; files are made in the folder."""
    samples = 0.05 * np.random.default_rng(0).standard_normal(_SECONDS * SAMPLE_RATE)
    samples = samples.astype(np.float32)
    torch.manual_seed(0)
    model = make_model(load_config(args.config).model, args.vocab_size).eval()
    calls: dict[tuple[str, float, str], Callable[[], object]] = {}
    paths = {}
    for values in _VALUES:
        for level in (0.0, *args.sparsities):
            path, name = folder / f"{values}-{level:.2f}.packed", f"{level:.2f}"
            pack(model, level, values, args.config, samples, path)
            paths[values, level] = path
            calls[values, level, "encoder"] = encoder_alone(path, name)
            calls[values, level, "Python"] = in_python(path, name, samples)
            calls[values, level, "C"] = in_c(path, samples)
    times = interleave(calls, args.rounds)
    print(_HEAD)
    rows = []
    for (values, level), path in paths.items():
        of = {kind: times[values, level, kind] for kind in ("encoder", "Python", "C")}
        row: dict = {"values": values, "sparsity": level, "bytes": path.stat().st_size}
        row |= {f"{kind}_ms": median(found) for kind, found in of.items()}
        row["c_of_encoder"] = ratio(of["C"], of["encoder"])
        row["c_of_python"] = ratio(of["C"], of["Python"])
        row["memory"] = memory_of(path, find_library())
        stream = load(path).stream(rules=None)
        stream.accept(samples)
        row["symbols_a_frame"] = len(stream.words) / (1000 * _SECONDS / model.config.frame_ms)
        rows.append(row)
        print(_line(row), flush=True)
    print(f"wanted: C / encoder <= {_MOST_TIME}, memory / bytes <= {_MOST_BYTES}")
    return rows


_HEAD = (
    f"{'':12} {'encoder':>8} {'Python':>8} {'C':>8}  {'C / encoder':>18} {'C / Python':>18} "
    f"{'bytes':>12} {'memory / bytes':>14} {'symbols a frame':>15}"
)


def _line(row: dict) -> str:
    """A row as it is printed; times are in ms."""
    shares = ["{:6.2f} [{:.2f}, {:.2f}]".format(*row[f"c_of_{x}"]) for x in ("encoder", "python")]
    return (
        f"{row['values']:7} {row['sparsity']:4.2f} {row['encoder_ms']:8.3f} "
        f"{row['Python_ms']:8.3f} {row['C_ms']:8.3f}  {shares[0]:>18} {shares[1]:>18} "
        f"{row['bytes']:12,} {row['memory'] / row['bytes']:14.2f} {row['symbols_a_frame']:15.2f}"
    )


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--config", default="conf/librispeech.yaml", help="of the transducer")
    parser.add_argument("--vocab-size", type=int, default=500, help="symbols (default 500)")
    parser.add_argument(
        "--sparsities", nargs="+", type=float, default=[0.5, 0.7, 0.8, 0.9], help="beside 0"
    )
    parser.add_argument("--rounds", type=int, default=40, help="of all kinds (default 40)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args, Path(folder))
    finish(args, rows)


if __name__ == "__main__":
    run_main(main)
