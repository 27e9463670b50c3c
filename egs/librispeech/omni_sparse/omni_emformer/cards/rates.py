# SPDX-License-Identifier: Apache-2.0
"""Word error rates of exported weights, as far as results.jsonl of an experiment has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from emformer.decoding.model import DecodingInfo
from emformer.scoring.results import Result, read_results

# What the ends of fingerprints mean: what decoded, and what the weights were turned into.
_RUNTIMES = {
    "": "PyTorch, float32",
    "packed-float32": "packed, float32",
    "packed-int8": "packed, int8",
    "sherpa-onnx": "sherpa-onnx, float32",
    "sherpa-onnx-int8": "sherpa-onnx, int8",
}


def weights_of(fingerprint: str) -> str:
    """The fingerprint of the weights that others, such as packed ones, were made of.

    >>> weights_of("acdbbc378f369574-packed-int8")
    'acdbbc378f369574'
    """
    return fingerprint.partition("-")[0]


def runtime_of(result: Result) -> str:
    """What decoded, such as ``packed, int8``."""
    kind = result.weights.partition("-")[2]
    return _RUNTIMES.get(kind, kind)


def rates(infos: Sequence[DecodingInfo], folders: Iterable[Path]) -> list[Result]:
    """The last result of each way of decoding the same weights.

    Args:
      infos: The sub-networks, which order the results.
      folders: Whose results.jsonl is read, where there is one.
    """
    order = [weights_of(info.weights) for info in infos]
    newest: dict[tuple, Result] = {}
    for folder in folders:
        path = folder / "results.jsonl"
        for r in read_results(path) if path.exists() else []:
            if r.weights and weights_of(r.weights) in order:
                newest[r.weights, r.split, r.method, r.settings_text, r.mode] = r
    kinds = list(_RUNTIMES.values())

    def place(r: Result) -> tuple:
        runtime = runtime_of(r)
        number = kinds.index(runtime) if runtime in kinds else len(kinds)
        return order.index(weights_of(r.weights)), r.split, number, r.mode, r.method

    return sorted(newest.values(), key=place)
