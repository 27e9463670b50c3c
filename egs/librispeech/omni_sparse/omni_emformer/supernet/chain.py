# SPDX-License-Identifier: Apache-2.0
"""What a step of a chain starts from: the step before, pruned in closed form."""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path

from torch import nn

from emformer.data.asr_datamodule import AsrDataModule
from emformer.decoding import options as decode_options
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_newest
from emformer.model import Transducer
from omni_emformer.supernet.calibrated_subnets import calls
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.supernet.system import System
from omni_plugin import OmniError
from omni_plugin.calibration import calibrate


def check_start(system: System, start_from: Path | None, init_from: Path | None = None) -> None:
    """A chain needs an experiment to start from, and nothing else takes one.

    Raises:
      RecipeError: It has none, or is no chain; or it is to start from ``init_from``, too.
    """
    if system.chain is not None and init_from is not None:
        raise RecipeError(
            f"--init-from: system {system.name} is a chain, which goes on from --start-from; give "
            "--init-from to the dense training"
        )
    if system.chain is None and start_from is not None:
        raise RecipeError(f"--start-from: system {system.name} is no chain and starts from nothing")
    if system.chain is not None and start_from is None:
        raise RecipeError(
            f"system {system.name} is a chain; give the experiment of the level before, or the "
            "dense one, by --start-from"
        )


class Start:
    """Gives a new model the weights that a step of a chain starts from.

    Args:
      system: A chain, at one level.
      args: Options of training, with ``start_from``.
      data: What it is calibrated on.
    """

    def __init__(self, system: System, args: argparse.Namespace, data: AsrDataModule) -> None:
        self.system, self.args, self.data = system, args, data

    def __call__(self, model: Transducer) -> None:
        """Overwrite the model's weights, unless there is a checkpoint to go on from.

        Raises:
          RecipeError: There is no such experiment, it is of another model, or is sparser.
        """
        if load_newest(self.args.exp_dir, lambda _: None) is not None:  # training tells of damage
            return
        folder: Path = self.args.start_from
        options = decode_options.get_parser(None).parse_args(["--exp-dir", str(folder)])
        before = Subnets(options)
        level = before.levels()[0]
        if level >= self.system.level:
            raise RecipeError(
                f"--start-from {folder}: its level, {level}, is not below {self.system.level}"
            )
        whole, info = before.make(level)
        if info.config.model != model.config or whole.vocab_size != model.vocab_size:
            raise RecipeError(f"--start-from {folder}: of another model or vocabulary")
        begin = time.monotonic()
        pruned = self._calibrate(whole)
        model.load_state_dict(pruned.state_dict())
        logging.info(
            f"starts from {info.checkpoint}, calibrated at {self.system.level} in "
            f"{time.monotonic() - begin:.0f} s"
        )

    def _calibrate(self, whole: Transducer) -> nn.Module:
        sparsity, own = self.system.sparsity, self.system.chain.calibration
        settings = replace(
            own,
            pattern=sparsity.pattern,
            include=sparsity.include,
            exclude=sparsity.exclude,
            max_sparsity=self.system.level,
        )
        try:
            return calibrate(whole, calls(self.data, own.seconds), self.system.level, settings)
        except OmniError as e:
            raise RecipeError(f"chain: {e}") from e
