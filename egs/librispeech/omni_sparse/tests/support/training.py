# SPDX-License-Identifier: Apache-2.0
"""Trainers on the tiny corpus, for the tests of training."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import torch

from emformer.experiment.checkpoint import load_checkpoint
from emformer.train import get_parser, make_trainer
from emformer.training.distributed import Processes
from emformer.training.method import TrainingMethod
from emformer.training.trainer import Trainer
from tests.support.processes import start_module
from tests.support.tiny_config import TINY_CONFIG

SMALL_BATCHES = {"max_duration": 9}


class Interrupted(Exception):
    """Stands for anything that ends a run too early."""


def interrupt_at(update: int, base: type[TrainingMethod] = TrainingMethod) -> type[TrainingMethod]:
    """A method that ends the run within an update (counted from 0), in the last of its passes."""

    class Interrupting(base):
        def passes(self, at):
            passes = super().passes(at)
            self.last = passes[-1]
            return passes

        def loss(self, model, batch, which, at):
            if at == update and model.training and which is self.last:
                raise Interrupted
            return super().loss(model, batch, which, at)

    return Interrupting


def write_config(path: Path, **changes) -> Path:
    """The tiny configuration with other training (or model) settings."""
    lines = []
    for line in TINY_CONFIG.splitlines():
        name = line.split(":")[0].strip()
        lines.append(f"  {name}: {changes.pop(name)}" if name in changes else line)
    lines += [f"  {name}: {value}" for name, value in changes.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def words(data: Path, config: Path, exp_dir: Path, *more: str) -> list[str]:
    """Options of train.py."""
    lang = ["--lang-dir", str(data / "lang_bpe_64")]
    where = ["--data-dir", str(data), "--config", str(config), "--exp-dir", str(exp_dir)]
    return [*where, *lang, *more]


def trainer(data: Path, config: Path, exp_dir: Path, *more: str, method=TrainingMethod) -> Trainer:
    """A trainer as train.py makes it; later options win."""
    args = get_parser().parse_args(words(data, config, exp_dir, *more))
    return make_trainer(args, Processes(0, 0, 1), method)


def train_process(data: Path, config: Path, exp_dir: Path, *more: str) -> subprocess.Popen:
    """train.py as a process of its own, from the recipe's folder."""
    return start_module("emformer.train", *words(data, config, exp_dir, *more))


def difference(a, b, where: str = "") -> str | None:
    """Where two nested values first differ in any bit, or None."""
    if isinstance(a, torch.Tensor):
        return None if torch.equal(a, b) else where
    if isinstance(a, dict):
        if list(a) != list(b):
            return f"{where}: keys"
        found = (difference(a[key], b[key], f"{where}/{key}") for key in a)
        return next((f for f in found if f), None)
    if isinstance(a, list):
        return difference(dict(enumerate(a)), dict(enumerate(b)), where)
    return None if a == b else f"{where}: {a} and {b}"


def same_state(one: Path, other: Path) -> str | None:
    """Where two checkpoints differ, but for the time they took; None if nowhere."""
    a, b = load_checkpoint(one), load_checkpoint(other)
    for state in (a, b):
        for name in ("train_seconds", "train_waiting"):
            state.pop(name)
    return difference(a, b)


def contents(folder: Path) -> dict[Path, bytes]:
    """All files of a folder."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def batches(run) -> list:
    """The batches of the first epoch, as the trainer sees them."""
    loader = run.data.train_dataloader(run.cut_filter, run.settings, run.seed, 1)
    return [run.make_batch(raw, augment=False) for raw in loader]


def weights(run) -> dict:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def passes_of(number: int) -> type[TrainingMethod]:
    class Passes(TrainingMethod):
        def passes(self, update):
            return range(number)

        def loss(self, model, batch, which, update):
            loss, info = super().loss(model, batch, which, update)
            return loss / number, info

    return Passes


class Counting(TrainingMethod):
    """Has a state; ends the run at ``stop``."""

    stop = None

    def __init__(self, *args):
        super().__init__(*args)
        self.drawn = torch.zeros(1, dtype=torch.int64)

    def passes(self, update):
        if update == self.stop:
            raise Interrupted
        self.drawn += 1
        return super().passes(update)

    def state_dict(self):
        return {"drawn": self.drawn}

    def load_state_dict(self, state):
        self.drawn = state["drawn"].clone()


def outcome(trainer: Trainer) -> dict[str, Any]:
    """What a run has in the end, to compare ranks by."""
    return {
        "weights": trainer.model.state_dict(),
        "updates": trainer.update,
        "skipped": trainer.skipped,
    }
