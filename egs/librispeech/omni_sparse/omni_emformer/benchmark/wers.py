# SPDX-License-Identifier: Apache-2.0
"""Word error rates of the ways to run a sub-network, from results of sweep and check."""

from __future__ import annotations

import argparse
from pathlib import Path

from emformer import streaming_decode
from emformer.decoding.model import DecodingInfo
from emformer.scoring.results import CHUNK_WISE, Result, read_results
from omni_emformer.runtime.model import load_packed
from omni_plugin.runtime import VALUE_TYPES

_METHOD = "greedy_search"
# Systems of an export's results.jsonl, by the way that they are of. onnxruntime computes what
# sherpa-onnx computes by it.
_SYSTEMS = {
    "PyTorch": "pytorch",
    "onnxruntime": "sherpa-onnx",
    "onnxruntime int8": "sherpa-onnx-int8",
    "sherpa-onnx": "sherpa-onnx",
    "sherpa-onnx int8": "sherpa-onnx-int8",
    "packed": "packed-float32",
    "packed int8": "packed-int8",
}


def find_wers(
    exp_dir: Path, folder: Path, info: DecodingInfo, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Word error rates in percent, by way and split; greedy search, chunk by chunk.

    PyTorch's are the sweep's, where it has them; packed files are decoded here, once.

    Args:
      exp_dir: Where the sweep wrote.
      folder: Of the export, where the check wrote.
      info: Of the export.
      options: Of decoding: which data.
    """
    own = _newest(folder)
    for values in VALUE_TYPES:
        path, system = folder / f"{values}.packed", f"packed-{values}"
        if path.exists() and not any(name == system for name, _ in own):
            _decode(path, folder, info, options, system)
    own = _newest(folder)
    found: dict[str, dict[str, float]] = {}
    for way, system in _SYSTEMS.items():
        found[way] = {split: r.wer for (name, split), r in own.items() if name == system}
    swept = exp_dir / "results.jsonl"
    for result in read_results(swept) if swept.exists() else []:
        if result.weights == info.weights and _counts(result):
            found["PyTorch"][result.split] = result.wer
    return found


def _newest(folder: Path) -> dict[tuple[str, str], Result]:
    path = folder / "results.jsonl"
    results = read_results(path) if path.exists() else []
    return {(r.system, r.split): r for r in results if _counts(r)}


def _counts(result: Result) -> bool:
    return (result.mode, result.method) == (CHUNK_WISE, _METHOD)


def _decode(
    path: Path, folder: Path, info: DecodingInfo, options: argparse.Namespace, system: str
) -> None:
    changes = {"exp_dir": folder, "system_name": system, "methods": [_METHOD], "device": "cpu"}
    args = argparse.Namespace(**{**vars(options), **changes})

    def load(_: argparse.Namespace):
        return load_packed(path, info.subnet)

    run = streaming_decode.DecodingRun(args, CHUNK_WISE, load)
    for split in run.splits:
        streaming_decode.decode_split(run, split)
