# SPDX-License-Identifier: Apache-2.0
"""A sub-network as an experiment of its own: a plain transducer for the dense recipe."""

from __future__ import annotations

from pathlib import Path

from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.experiment.averaging import RunningAverage
from emformer.experiment.checkpoint import save_checkpoint
from emformer.experiment.description import describe_experiment
from emformer.model import Transducer


def write_checkpoint(model: Transducer, info: DecodingInfo, out: Path) -> Path:
    """Write a model as the checkpoint of an experiment's only epoch; returns its path.

    Raises:
      RecipeError: There is one already.
    """
    path = out / "epoch-1.pt"
    if path.exists():
        raise RecipeError(f"{path} exists already; choose another --out")
    describe_experiment(out, info.config)
    average = RunningAverage(model)
    average.update(model)
    names = ("corpus", "seed", "train_updates", "train_passes", "train_cost", "train_seconds")
    content = {
        "model": model.state_dict(),
        "model_avg": average.state_dict(),
        "method": {},
        "config": info.config.to_dict(),
        "tokens": list(info.tokens),
        "normalization": info.normalization,
        "vocab_size": model.vocab_size,
        **{name: getattr(info, name) for name in names},
    }
    save_checkpoint(path, content)
    return path
