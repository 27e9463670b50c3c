# SPDX-License-Identifier: Apache-2.0
"""The sub-networks of a dense model in closed form, each kept in a folder of its own."""

from __future__ import annotations

import argparse
import copy
import functools
import json
import logging
import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from lhotse.cut import Cut

from emformer.data.asr_datamodule import AsrDataModule
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.model import Transducer
from omni_emformer.supernet.plain_checkpoint import write_checkpoint
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.supernet.system import System
from omni_plugin import OmniError, SubNet, SuperNet
from omni_plugin.calibration import Calibration, Call

# Seconds a batch with padding: what runs at once between two layers is small beside its input.
_BATCH_SECONDS = 150.0
_NOTE = "calibration.json"


class CalibratedSubnets(Subnets):
    """Calibrates the sub-networks of a dense model, or loads what was calibrated before.

    A sub-network is kept as ``<exp-dir>/<system>/<name>/epoch-1.pt``, which decodes like any
    other, with ``calibration.json``: what it was made of, and the layers' errors. It is made anew
    if that was something else.

    Args:
      options: Which checkpoint and which data, as decoding's options.
      system: With the section ``calibrated``.

    Raises:
      RecipeError: No such checkpoint; it has a supernet of its own; pattern or rules do not fit it.
    """

    def __init__(self, options: argparse.Namespace, system: System) -> None:
        super().__init__(options)
        if not self.one_shot:
            raise RecipeError(
                f"{self.info.checkpoint} has a supernet of its own; {system.name} is made of a "
                "model that has none"
            )
        self.options, self.pruned_by = options, system.name
        self.settings = system.calibrated
        own = self.settings
        try:
            self.supernet = SuperNet(
                self.model, own.pattern, own.include, own.exclude, own.max_sparsity
            )
        except OmniError as e:
            raise RecipeError(f"calibrated: {e}") from e

    @functools.cached_property
    def calibration(self) -> Calibration:
        """The model's, with its blocks ranked."""
        start = time.monotonic()
        found = Calibration(self.model, calls(self._data(), self.settings.seconds), self.settings)
        logging.info(f"blocks ranked by {self.settings.score} in {time.monotonic() - start:.0f} s")
        return found

    @property
    def _has_data(self) -> bool:
        """Whether the options say what to calibrate on; those of an export do not."""
        return hasattr(self.options, "on_the_fly_feats")

    def _data(self) -> AsrDataModule:
        if not self._has_data:
            raise RecipeError(
                f"this sub-network of {self.pruned_by} is not in {self._exp_dir}; make it with "
                "python3 -m omni_emformer.calibrate"
            )
        options = argparse.Namespace(**vars(self.options))
        options.corpus = options.corpus or self.info.corpus
        return AsrDataModule.from_args(options)

    def folder(self, subnet: SubNet) -> Path:
        """Where a sub-network is kept."""
        return self._exp_dir / self.pruned_by / subnet.name.replace("/", "-")

    def levels(self) -> list[float]:
        return self.settings.sizes()

    def _make(self, subnet: SubNet) -> Transducer:
        folder, made_of = self.folder(subnet), self._made_of(subnet)
        note = folder / _NOTE
        known = _read(note).get("made_of", {})
        if not self._has_data and known:  # whatever speech it was made on
            made_of["corpus"] = known.get("corpus")
        if known == made_of:
            model = copy.deepcopy(self.model)
            model.load_state_dict(load_checkpoint(folder / "epoch-1.pt")["model"])
            return model
        model = self.calibration.model(subnet)
        errors = self.calibration.errors
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_checkpoint(model, self.info, folder)
        note.write_text(json.dumps({"made_of": made_of, "errors": errors}, indent=2) + "\n")
        return model

    def errors(self, subnet: SubNet) -> dict[str, float]:
        """Errors of a sub-network's layers, by name of the weight; empty where there is none."""
        return _read(self.folder(subnet) / _NOTE).get("errors", {})

    def _made_of(self, subnet: SubNet) -> dict:
        """What its weights depend on, as JSON gives it back."""
        settings = self.settings.to_dict()
        for name in ("valid_levels", "max_sparsity"):
            settings.pop(name)
        found = {"weights": self.info.weights, "levels": subnet.levels, "settings": settings}
        corpus = getattr(self.options, "corpus", None) or self.info.corpus
        return json.loads(json.dumps({**found, "corpus": corpus}))


def calls(data: AsrDataModule, seconds: float) -> list[Call]:
    """Forward passes of the encoder over some of the training data.

    Raises:
      RecipeError: There is none.
    """
    found = [
        _encoding(batch["inputs"], batch["supervisions"]["num_frames"])
        for batch in data.plain_dataloader(_spread(data, seconds), _BATCH_SECONDS)
    ]
    if not found:
        raise RecipeError(f"{data.data_dir}: no utterances to calibrate on")
    return found


def _spread(data: AsrDataModule, seconds: float) -> Iterator[Cut]:
    """Every so-manieth cut of the training data, until they are as long together."""
    step = max(1, int(sum(cut.duration for cut in data.train_cuts()) / seconds))
    left = seconds
    for cut in islice(data.train_cuts(), 0, None, step):
        if left <= 0:
            return
        left -= cut.duration
        yield cut


def _encoding(x: torch.Tensor, x_lens: torch.Tensor) -> Call:
    return lambda model: model.encode(x, x_lens)


def _read(note: Path) -> dict:
    """What a note says; empty where there is none, or half of one."""
    try:
        found = json.loads(note.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
