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
import shlex
import sys
from collections.abc import Sequence

import torch

from emformer import streaming_decode
from emformer.decoding.run import open_experiment
from emformer.errors import RecipeError, run_main
from emformer.experiment.logs import only_log_to_file
from emformer.experiment.whole_file import write_whole
from emformer.options import positive_int
from omni_emformer.benchmark.measure import measure
from omni_emformer.benchmark.page import write_page
from omni_emformer.export.subnet import FOLDER, exported_subnets
from omni_emformer.supernet.options import add_subnets_option


def get_parser() -> argparse.ArgumentParser:
    parser = streaming_decode.get_parser(__doc__)
    parser.prog = "python3 -m omni_emformer.benchmark"
    group = parser.add_argument_group("benchmark")
    add_subnets_option(group, "or names (default: all exported ones)")
    group.add_argument(
        "--utterances", type=positive_int, default=40, help="that are timed (default 40)"
    )
    return parser


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
    write_whole(out / "benchmark.json", json.dumps(record, indent=1) + "\n")
    command = shlex.join(["python3", "-m", "omni_emformer.benchmark", *words])
    path = write_page(record, out, command)
    print(path.read_text())


if __name__ == "__main__":
    sys.exit(run_main(main))
