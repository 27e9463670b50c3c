# SPDX-License-Identifier: Apache-2.0
"""Stage 15: bytes, memory, time and word error rate of exported sub-networks, in one run.

Usage:
  python3 -m omni_emformer.benchmark --exp-dir exp/synthetic/omni
  python3 -m omni_emformer.benchmark --exp-dir exp/synthetic/omni --subnets dense 0.90

Each sub-network of <exp-dir>/export runs in PyTorch, onnxruntime and sherpa-onnx (float32 and int8
each), and packed in the sparse CPU runtime, on one thread. All take turns on the same utterances;
see the page for what is measured. Word error rates are those of sweep and check (stages 10 and 14);
packed files are decoded here.

Other options are those of emformer.streaming_decode. Writes <exp-dir>/export/benchmark.json,
benchmark.md, and its plots.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import statistics
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.sparse_timing import cpu_name, ratio
from emformer import streaming_decode
from emformer.asr_datamodule import AsrDataModule
from emformer.decode_run import open_experiment
from emformer.errors import RecipeError, run_main
from emformer.experiment import package_versions
from local.options import positive_int
from omni_emformer.benchmark_files import file_sizes
from omni_emformer.benchmark_memory import peak_memory
from omni_emformer.benchmark_page import write_page
from omni_emformer.benchmark_ways import WAYS, Times, interleave
from omni_emformer.benchmark_wers import find_wers
from omni_emformer.check_onnx import exported_subnets
from omni_emformer.export import FOLDER
from omni_emformer.export_info import read_info
from omni_emformer.sweep import only_log_to_file

#: What the others are compared with, on the largest sub-network.
RIVAL = "onnxruntime"


def get_parser() -> argparse.ArgumentParser:
    parser = streaming_decode.get_parser(__doc__)
    parser.prog = "python3 -m omni_emformer.benchmark"
    group = parser.add_argument_group("benchmark")
    group.add_argument("--subnets", nargs="+", metavar="NAME", help="default: all exported ones")
    group.add_argument(
        "--utterances", type=positive_int, default=40, help="that are timed (default 40)"
    )
    return parser


def measure(folders: Sequence[Path], args: argparse.Namespace) -> dict:
    """What benchmark.json holds."""
    infos = {folder: read_info(folder) for folder in folders}
    first = infos[folders[0]]
    sounds = _sounds(args, first.corpus)
    ways = {(info.subnet, way): WAYS[way](f) for f, info in infos.items() for way in WAYS}
    times = interleave(ways, sounds)
    del ways  # their memory
    rival = times[first.subnet, RIVAL]
    subnets = []
    for folder, info in infos.items():
        wers = find_wers(args.exp_dir, folder, info, args)
        found = {}
        for way in WAYS:
            found[way] = {**_figures(times[info.subnet, way], rival), "wer": wers[way]}
            found[way]["memory"] = peak_memory(folder, way)
            logging.info(f"{info.subnet}, {way}: {found[way]}")
        print(f"{info.subnet}: measured", flush=True)
        one = {"subnet": info.subnet, "sparsity": info.sparsity, "weights": info.weights}
        one |= {"num_params": info.num_params, "num_nonzero": info.num_nonzero}
        subnets.append({**one, "bytes": file_sizes(folder), "ways": found})
    return {
        "checkpoint": first.checkpoint,
        "cpu": cpu_name(),
        "versions": {**package_versions(), **_runtimes()},
        "chunk_ms": first.config.model.chunk_ms,
        "utterances": len(sounds),
        "audio": sum(one.audio for one in rival),
        "rival": [first.subnet, RIVAL],
        "subnets": subnets,
    }


def _sounds(args: argparse.Namespace, corpus: str) -> list[np.ndarray]:
    """Utterances spread over the first test split."""
    data = AsrDataModule.from_args(argparse.Namespace(**{**vars(args), "corpus": corpus}))
    split = (args.splits or data.test_splits())[0]
    step = max(1, sum(1 for _ in data.cuts(split)) // args.utterances)
    cuts = islice(data.cuts(split), 0, step * args.utterances, step)
    return [np.ascontiguousarray(cut.load_audio()[0], dtype=np.float32) for cut in cuts]


def _figures(times: Sequence[Times], rival: Sequence[Times]) -> dict:
    total = Times()
    for one in times:
        total.add(one)
    spent = [[sum(one.chunks) for one in side] for side in (rival, times)]
    alone = [[sum(one.encoders) for one in side] for side in (rival, times)]
    return {
        "encoder_ms": _ms(total.encoders) if total.encoders else None,
        "chunk_ms": _ms(total.chunks),
        "real_time_factor": total.real_time_factor,
        "encoder_times_faster": ratio(*alone) if total.encoders else None,
        "times_faster": ratio(*spent),
    }


def _ms(seconds: Sequence[float]) -> list[float]:
    """Median and 95th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return [1e3 * statistics.median(ordered), 1e3 * ordered[int(0.95 * (len(ordered) - 1))]]


def _runtimes() -> dict[str, str]:
    import onnxruntime
    import sherpa_onnx

    return {"onnxruntime": onnxruntime.__version__, "sherpa-onnx": sherpa_onnx.version}


def main(argv: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    args = get_parser().parse_args(words)
    folders = exported_subnets(args.exp_dir, args.subnets)
    for folder in folders:
        for name in ("epoch-1.pt", "encoder.int8.onnx", "float32.packed", "int8.packed"):
            if not (folder / name).exists():
                raise RecipeError(f"{folder} has no {name}; delete it and export all formats")
    torch.set_num_threads(1)
    open_experiment(args.exp_dir, "benchmark")
    only_log_to_file()
    out = args.exp_dir / FOLDER
    record = measure(folders, args)
    part = out / "benchmark.json.part"
    part.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(part, out / "benchmark.json")
    command = shlex.join(["python3", "-m", "omni_emformer.benchmark", *words])
    path = write_page(record, out, command)
    print(path.read_text())


if __name__ == "__main__":
    sys.exit(run_main(main))
