# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the sparse runtime share: fair times in one process, and their ratios."""

from __future__ import annotations

import argparse
import inspect
import io
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from emformer.experiment.description import cpu_name
from emformer.options import Parser
from omni_plugin import SuperNet


def get_parser(description: str) -> argparse.ArgumentParser:
    parser = Parser(description)
    parser.add_argument("--config", default="conf/librispeech.yaml", help="of the encoder")
    parser.add_argument(
        "--chunks",
        nargs="+",
        default=["4+4", "8+4", "32+4"],
        metavar="SEGMENT+RIGHT_CONTEXT",
        help="in encoder frames",
    )
    parser.add_argument(
        "--sparsities", nargs="+", type=float, default=[0.5, 0.7, 0.8, 0.9], help="beside 0"
    )
    parser.add_argument("--rounds", type=int, default=40, help="of all kinds (default 40)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


def parse_chunk(text: str) -> tuple[int, int]:
    """Segment and right context in frames."""
    segment, right = text.split("+")
    return int(segment), int(right)


def pruned_copy(model: nn.Module, level: float) -> nn.Module:
    """A copy in which a share of each matrix's 8x1 blocks is zero, those of smallest magnitude."""
    return SuperNet(model, "8x1").baked_model(level)


def export(
    model: nn.Module,
    arguments: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    folder: Path,
) -> dict[str, str]:
    """A model's ONNX files by kind: float32, and with int8 weights by dynamic quantisation."""
    # torch 2 has two exporters; the old one is that of torch 1.
    old = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    names = {"input_names": inputs, "output_names": outputs}
    buffer = io.BytesIO()
    torch.onnx.export(model, arguments, buffer, opset_version=17, **names, **old)
    paths = str(folder / "float32.onnx"), str(folder / "int8.onnx")
    Path(paths[0]).write_bytes(buffer.getvalue())
    quantize_dynamic(*paths, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
    return dict(zip(("onnx float32", "onnx int8"), paths, strict=True))


def session(model: bytes | str) -> onnxruntime.InferenceSession:
    """A session of onnxruntime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def interleave(
    calls: Mapping[str, Callable[[], object]], rounds: int, least: float = 0.02
) -> dict[str, list[float]]:
    """Milliseconds of a call of each kind, one value a round.

    The kinds take turns in a random order. A turn is one call that is not counted, so that caches
    hold what they hold in a stream, and then calls for ``least`` seconds. Times are the thread's
    own processor time: where other processes run, a clock would count them.
    """
    number = {}
    for name, call in calls.items():
        call()
        start = time.thread_time()
        call()
        number[name] = max(1, round(least / (time.thread_time() - start)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    order, rng = list(calls), random.Random(0)
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            call = calls[name]
            call()
            start = time.thread_time()
            for _ in range(number[name]):
                call()
            found[name].append((time.thread_time() - start) / number[name] * 1e3)
    return found


def ratio(slow: Sequence[float], fast: Sequence[float], draws: int = 2000) -> list[float]:
    """How many times ``fast`` is faster: the median over rounds and its 95 % bootstrap interval."""
    ratios = [s / f for s, f in zip(slow, fast, strict=True)]
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(draws))
    low, high = medians[int(0.025 * draws)], medians[int(0.975 * draws)]
    return [statistics.median(ratios), low, high]


def report(
    title: str,
    times: Mapping[str, Sequence[float]],
    rivals: Sequence[str],
    bounds: Mapping[tuple[str, str], float],
) -> list[dict]:
    """Print a table of medians and ratios; returns its rows.

    Args:
      title: Above the table.
      times: What :func:`interleave` gave.
      rivals: Kinds that the others are compared with.
      bounds: Least ratio of (kind, rival) that is wanted; shown beside it.
    """
    width = max(map(len, times))
    print(f"\n{title}\n{'':{width}} {'ms':>8} {'95th %':>8}", *(f"{r:>28}" for r in rivals))
    rows = []
    for name, values in times.items():
        row: dict = {"case": title, "kind": name, "ms": statistics.median(values)}
        row["ms_95"] = sorted(values)[int(0.95 * (len(values) - 1))]
        cells = [f"{name:{width}} {row['ms']:8.2f} {row['ms_95']:8.2f}"]
        for rival in rivals:
            one = row[f"times_faster_than_{rival}"] = ratio(times[rival], values)
            wanted = bounds.get((name, rival))
            told = f" >= {wanted:g}" if wanted else ""
            cells.append(f"{f'{one[0]:.2f} [{one[1]:.2f}, {one[2]:.2f}]{told}':>28}")
        print(*cells, flush=True)
        rows.append(row)
    return rows


def finish(args: argparse.Namespace, rows: list[dict]) -> None:
    """Say on what machine it was, and write the rows."""
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
    where = {"cpu": cpu_name(), "threads": 1, **versions}
    print("\n" + ", ".join(f"{name} {value}" for name, value in where.items()))
    if args.json:
        args.json.write_text(json.dumps({**where, "rows": rows}, indent=1) + "\n")
