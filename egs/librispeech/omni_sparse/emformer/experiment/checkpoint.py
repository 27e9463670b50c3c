# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files: written whole or not at all, read without running code."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from emformer.config import Config
from emformer.errors import RecipeError
from emformer.experiment import plain_file
from emformer.experiment.averaging import average_between
from emformer.model import Transducer, make_model
from emformer.text import DEFAULT_RULE

FORMAT = 1
_NAME = re.compile(r"(epoch|checkpoint)-(\d+)\.pt")


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint of tensors and plain types under a temporary name and rename it.

    Raises:
      RecipeError: The disk is full or the folder cannot be written; what was there before stays.
    """
    part = path.with_name(path.name + ".part")
    others = {key: value for key, value in content.items() if key != "model"}
    try:
        with open(part, "wb") as f:
            plain_file.dump({**others, "format": FORMAT}, content["model"], f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    except OSError as e:
        part.unlink(missing_ok=True)
        raise RecipeError(
            f"{path}: checkpoint not written ({e.strerror}); make room and run the same command "
            "again, earlier checkpoints are whole"
        ) from e


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU, tensors and plain types only.

    Raises:
      RecipeError: The file is missing, damaged, or holds anything that would run code.
    """
    try:
        content, model = plain_file.load(path)
    except FileNotFoundError as e:
        raise RecipeError(f"{path}: no such checkpoint") from e
    # A damaged file can raise nearly anything from within the unpickler.
    except Exception as e:
        reason = (str(e).splitlines() or [type(e).__name__])[0][:120]
        raise RecipeError(f"{path}: damaged or not a checkpoint ({reason})") from e
    if content.get("format") != FORMAT:
        raise RecipeError(f"{path}: format {content.get('format')}, this code reads {FORMAT}")
    # A file older than these: no pass cost more than a whole one, and all texts were read alike.
    content.setdefault("train_cost", float(content.get("train_passes", 0)))
    content.setdefault("normalization", DEFAULT_RULE)
    return {**content, "model": model}


def numbered(exp_dir: Path, kind: str) -> dict[int, Path]:
    """The files ``epoch-N.pt`` or ``checkpoint-N.pt`` by N, the largest last.

    Args:
      exp_dir: Where training wrote.
      kind: ``epoch``, whose N counts epochs, or ``checkpoint``, whose N counts updates.
    """
    found = [(_NAME.fullmatch(path.name), path) for path in exp_dir.glob(f"{kind}-*.pt")]
    return dict(sorted((int(match[2]), path) for match, path in found if match))


def load_newest(exp_dir: Path, warn) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint of most updates that can be read; damaged ones are named through ``warn``.

    The times of files say nothing here: copying and unpacking change them.
    """
    newest = _first_readable(numbered(exp_dir, "epoch").values(), warn)
    trained = newest[1].get("update", 0) if newest else 0  # exported weights have none
    later = [path for n, path in numbered(exp_dir, "checkpoint").items() if n > trained]
    return _first_readable(later, warn) or newest


def _first_readable(paths: Iterable[Path], warn) -> tuple[Path, dict[str, Any]] | None:
    for path in reversed(list(paths)):
        try:
            return path, load_checkpoint(path)
        except RecipeError as e:
            warn(f"{e}; trying the one before it")
    return None


def remove_old(exp_dir: Path, keep: int) -> None:
    """Delete all but the ``keep`` of the ``checkpoint-N.pt`` files that have most updates."""
    paths = list(numbered(exp_dir, "checkpoint").values())
    for path in paths[: max(0, len(paths) - keep)]:
        path.unlink()


def newest_epoch(exp_dir: Path) -> int:
    """Number of the newest ``epoch-N.pt``.

    Raises:
      RecipeError: There is none.
    """
    epochs = numbered(exp_dir, "epoch")
    if not epochs:
        raise RecipeError(f"{exp_dir}: no epoch-N.pt; train first (run.sh --stage 6)")
    return max(epochs)


# Changes a new model to the one that the weights of a checkpoint (its content) are of.
Prepare = Callable[[Transducer, dict[str, Any]], None]


def load_model_for_decoding(
    exp_dir: Path,
    epoch: int | None = None,
    avg: int = 1,
    use_averaged_model: bool = True,
    prepare: Prepare | None = None,
) -> tuple[Transducer, dict[str, Any]]:
    """The model of an experiment, in eval mode on the CPU.

    Args:
      exp_dir: Where training wrote.
      epoch: Which ``epoch-N.pt``; the newest by default.
      avg: Epochs to average over. 1 with ``use_averaged_model`` off: the weights as they are.
      use_averaged_model: Average over all updates of these epochs, as icefall's option of this
        name, and not only over their last weights.
      prepare: Called before the weights are loaded.

    Returns:
      The model and the checkpoint it came from, with ``epoch`` resolved and ``path`` added.

    Raises:
      RecipeError: A checkpoint is missing, damaged, or of another configuration or vocabulary.
    """
    epoch = newest_epoch(exp_dir) if epoch is None else epoch
    if not 1 <= avg <= epoch:
        raise RecipeError(f"--avg {avg}: must be between 1 and the epoch, {epoch}")
    path = exp_dir / f"epoch-{epoch}.pt"
    checkpoint = load_checkpoint(path)
    weights = _averaged_weights(exp_dir, checkpoint, epoch, avg, use_averaged_model)
    config = Config.from_dict(checkpoint["config"], str(path))
    model = make_model(config.model, checkpoint["vocab_size"])
    if prepare is not None:
        prepare(model, checkpoint)
    load_weights(model, weights, path)
    model.eval()
    return model, {**checkpoint, "epoch": epoch, "path": str(path)}


def load_weights(model: torch.nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Load weights by name; every one must be there and fit.

    Raises:
      RecipeError: Names the first weight that is missing, unknown, or of another shape.
    """
    own = model.state_dict()
    for name in sorted(set(own) ^ set(weights)):
        where = "lacks" if name in own else "has an unknown"
        raise RecipeError(f"{path}: another configuration: it {where} weight {name}")
    for name, value in own.items():
        if value.shape != weights[name].shape:
            raise RecipeError(
                f"{path}: another configuration or vocabulary: {name} has shape "
                f"{tuple(weights[name].shape)}, expected {tuple(value.shape)}"
            )
    model.load_state_dict(weights)


def _averaged_weights(
    exp_dir: Path, checkpoint: dict, epoch: int, avg: int, use_averaged_model: bool
) -> dict[str, Any]:
    if avg == 1 and not use_averaged_model:
        return checkpoint["model"]
    if use_averaged_model:
        before = epoch - avg
        start = load_checkpoint(exp_dir / f"epoch-{before}.pt")["model_avg"] if before else None
        try:
            averaged = average_between(start, checkpoint["model_avg"])
        except ValueError as e:
            raise RecipeError(
                f"{exp_dir}: {e}; lower training.average_period or use --use-averaged-model false"
            ) from e
        return {**checkpoint["model"], **averaged}
    models = [load_checkpoint(exp_dir / f"epoch-{e}.pt")["model"] for e in _last(epoch, avg)]
    return _mean(models)


def _last(epoch: int, avg: int) -> Iterable[int]:
    return range(epoch - avg + 1, epoch + 1)


def _mean(models: list[dict[str, Any]]) -> dict[str, Any]:
    mean = dict(models[-1])
    for name, value in mean.items():
        if value.is_floating_point():
            mean[name] = torch.stack([m[name].double() for m in models]).mean(0).to(value.dtype)
    return mean
