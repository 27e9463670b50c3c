# SPDX-License-Identifier: Apache-2.0
"""Word error rates of the ways to run a sub-network, from results of sweep and check."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from emformer import streaming_decode
from emformer.data.asr_datamodule import AsrDataModule
from emformer.decoding.model import DecodingInfo
from emformer.decoding.references import References
from emformer.scoring.references import results_against
from emformer.scoring.results import CHUNK_WISE, Result
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

    PyTorch's are the sweep's, where it has them; packed files are decoded here, once. Rates against
    other references, such as of a check of the first utterances only, are left out.

    Args:
      exp_dir: Where the sweep wrote.
      folder: Of the export, where the check wrote.
      info: Of the export.
      options: Of decoding: which data.
    """
    references = _references(info, options)
    own = _newest(folder, references)
    for values in VALUE_TYPES:
        path, system = folder / f"{values}.packed", f"packed-{values}"
        missing = [split for split in references if (system, split) not in own]
        if path.exists() and missing:
            _decode(path, folder, info, options, system, missing)
    own = _newest(folder, references)
    found: dict[str, dict[str, float]] = {}
    for way, system in _SYSTEMS.items():
        found[way] = {split: r.wer for (name, split), r in own.items() if name == system}
    for result in _read(exp_dir, references):
        if result.weights == info.weights:
            found["PyTorch"][result.split] = result.wer
    return found


def _references(info: DecodingInfo, options: argparse.Namespace) -> dict[str, str]:
    """Fingerprints of the references of the splits that options name."""
    corpus = options.corpus or info.corpus
    data = AsrDataModule.from_args(argparse.Namespace(**{**vars(options), "corpus": corpus}))
    splits = options.splits or data.test_splits()
    return {split: References(split, data.cuts(split), info).fingerprint for split in splits}


def _newest(folder: Path, references: Mapping[str, str]) -> dict[tuple[str, str], Result]:
    return {(r.system, r.split): r for r in _read(folder, references)}


def _read(folder: Path, references: Mapping[str, str]) -> list[Result]:
    """The results that count, in order: of this search, against these references."""
    found = results_against(folder, references)
    return [r for r in found if (r.mode, r.method) == (CHUNK_WISE, _METHOD)]


def _decode(
    path: Path,
    folder: Path,
    info: DecodingInfo,
    options: argparse.Namespace,
    system: str,
    splits: list[str],
) -> None:
    changes = {"exp_dir": folder, "system_name": system, "methods": [_METHOD], "device": "cpu"}
    args = argparse.Namespace(**{**vars(options), **changes, "splits": splits})

    def load(_: argparse.Namespace):
        return load_packed(path, info.subnet)

    run = streaming_decode.DecodingRun(args, CHUNK_WISE, load)
    for split in run.splits:
        streaming_decode.decode_split(run, split)
