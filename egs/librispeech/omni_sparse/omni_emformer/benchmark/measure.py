# SPDX-License-Identifier: Apache-2.0
"""What benchmark.json holds: exported sub-networks, each run in all ways."""

from __future__ import annotations

import argparse
import logging
import statistics
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from emformer.data.asr_datamodule import AsrDataModule
from emformer.experiment.description import cpu_name, package_versions
from omni_emformer.benchmark.files import file_sizes
from omni_emformer.benchmark.memory import peak_memory
from omni_emformer.benchmark.timing import ratio
from omni_emformer.benchmark.ways import WAYS, Times, interleave
from omni_emformer.benchmark.wers import find_wers
from omni_emformer.export.info import read_info

#: What the others are compared with, on the largest sub-network.
RIVAL = "onnxruntime"


def measure(folders: Sequence[Path], args: argparse.Namespace) -> dict:
    """What benchmark.json holds.

    Args:
      folders: Of exports that have all formats, the largest sub-network first.
      args: Options of the benchmark.

    Raises:
      RecipeError: A file is damaged, or there is no such corpus or split.
    """
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


def _sounds(args: argparse.Namespace, trained_on: str) -> list[np.ndarray]:
    """Utterances spread over the first test split of the corpus that is named, or trained on."""
    corpus = args.corpus or trained_on
    changes = {"corpus": corpus, "on_the_fly_feats": True}  # it is the sound that is wanted
    data = AsrDataModule.from_args(argparse.Namespace(**{**vars(args), **changes}))
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
