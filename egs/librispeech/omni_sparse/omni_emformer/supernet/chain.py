# SPDX-License-Identifier: Apache-2.0
"""What a step of a chain starts from, the step before pruned in closed form, and its teacher."""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emformer.config import Config
from emformer.data.asr_datamodule import AsrDataModule
from emformer.decoding import options as decode_options
from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_newest
from emformer.model import Transducer, TransducerOutput
from emformer.training.loss import Batch, Info, loss_scales, run_transducer, weigh_losses
from omni_emformer.supernet.calibrated_subnets import calls
from omni_emformer.supernet.method import OmniMethod, distance_a_frame
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.supernet.system import System
from omni_plugin import OmniError
from omni_plugin.calibration import calibrate
from omni_plugin.sampling import Pass


def check_start(
    system: System,
    start_from: Path | None,
    teacher: Path | None = None,
    init_from: Path | None = None,
    blocks_from: Path | None = None,
) -> None:
    """A chain needs an experiment to start from, perhaps a teacher; nothing else takes either.

    A level that grows needs one that has its blocks.

    Raises:
      RecipeError: It has none, or is no chain; or it is to start from ``init_from``, too.
    """
    if system.chain is None and teacher is not None:
        raise RecipeError(f"--teacher: system {system.name} is no chain and has no such teacher")
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
    grows = system.chain is not None and bool(system.chain.around)
    if grows and blocks_from is None:
        raise RecipeError(
            f"system {system.name} grows around {system.chain.around}; give that one's experiment "
            f"of level {system.level} (of 0: the dense one) by --blocks-from"
        )
    if blocks_from is not None and not grows:
        raise RecipeError(f"--blocks-from: system {system.name} grows around nothing")
    if system.chain is not None and system.chain.teacher_weight and teacher is None:
        raise RecipeError(
            f"system {system.name} is a chain with a teacher (chain.teacher_weight); give the "
            "dense experiment by --teacher"
        )


#: The teacher goes forward only: about a third of a pass, with its decoder and loss.
TEACHER_COST = 1 / 3


class ChainMethod(OmniMethod):
    """Trains one level, taught by the encoder of the dense model.

    Args:
      teacher: The dense model; it is not trained.
      weight: Of what it teaches, see :class:`ChainSettings`.
      further: As :class:`OmniMethod`'s.
    """

    def __init__(self, *further: Any, teacher: Transducer, weight: float, **named: Any) -> None:
        super().__init__(*further, **named)
        self._teacher_encoder = teacher.encoder.eval().requires_grad_(False)
        self._weight = weight

    def wrap(self, model: nn.Module) -> nn.Module:
        self._teacher_encoder.to(next(model.parameters()).device)
        return super().wrap(model)

    def cost(self, which: Pass) -> float:
        return super().cost(which) + TEACHER_COST

    def loss(self, model: nn.Module, batch: Batch, which: Pass, update: int) -> tuple[Tensor, Info]:
        with self.omni.running(which):
            out = run_transducer(model, batch, self.config)
        scales = loss_scales(self.config, update, self.total_updates)
        loss, info = weigh_losses(out, scales)
        if torch.is_grad_enabled():
            loss = loss + self._weight * distance_to(self._teacher_encoder, batch, out, info)
        return loss, info


def distance_to(encoder: nn.Module, batch: Batch, out: TransducerOutput, info: Info) -> Tensor:
    """Squared error to what another encoder gives for the batch; ``info`` tells of it, too."""
    with torch.no_grad():
        aim, _ = encoder(batch.features, batch.feature_lens)
    distance = distance_a_frame(out, aim)
    info["distillation"] = distance.detach() * info["frames"]
    return distance


def load_teacher(folder: Path, config: Config) -> Transducer:
    """The dense model of an experiment.

    Args:
      folder: The experiment.
      config: Of the training that it is to teach.

    Raises:
      RecipeError: There is no such experiment, it is not dense, or is of another model.
    """
    found = _subnets(folder)
    if not found.one_shot or found.levels()[0] != 0:
        raise RecipeError(f"--teacher {folder}: not a dense model")
    model, info = found.make(0)
    if info.config.model != config.model:
        raise RecipeError(f"--teacher {folder}: of another model")
    return model


def network_of(folder: Path) -> tuple[Transducer, DecodingInfo]:
    """The one network of an experiment that trained a level of its own, its zeros written out.

    Raises:
      RecipeError: There is no such experiment.
    """
    found = _subnets(folder)
    return found.make(found.levels()[0])


def _subnets(folder: Path) -> Subnets:
    return Subnets(decode_options.get_parser(None).parse_args(["--exp-dir", str(folder)]))


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
        before = _subnets(folder)
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
