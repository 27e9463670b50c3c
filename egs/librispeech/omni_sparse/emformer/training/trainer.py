# SPDX-License-Identifier: Apache-2.0
"""The training loop."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import sentencepiece as spm
import torch
from lhotse.cut import Cut
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from emformer.clock import clock
from emformer.config import Config, TrainingConfig
from emformer.data.asr_datamodule import AsrDataModule, batch_texts
from emformer.data.cut_filter import CutFilter
from emformer.data.tokenizer import encode_texts, symbols, text_pipeline
from emformer.errors import RecipeError
from emformer.experiment.averaging import RunningAverage
from emformer.experiment.checkpoint import load_newest, load_weights, remove_old, save_checkpoint
from emformer.experiment.metrics_writer import MetricsWriter
from emformer.experiment.same_run import check_same_run
from emformer.experiment.trackers import Tracker
from emformer.training.augment import Augment
from emformer.training.distributed import Processes, pick_device
from emformer.training.loss import Batch, read_info
from emformer.training.method import TrainingMethod
from emformer.training.oom_scan import scan_for_out_of_memory
from emformer.training.precision import DTYPES, check_dtype
from emformer.training.progress import LossMeter, StepTimer, mean_losses
from emformer.training.rng import get_rng_state, seed_everything, set_rng_state
from emformer.training.schedule import Scheduler, make_optimizer


class Trainer:
    """Trains a model by a method, and goes on where an interrupted run was.

    Args:
      exp_dir: Checkpoints, logs and tensorboard go there.
      config: Model and training settings.
      model: The model to train; the method may wrap it.
      method_class: What a step trains, see :class:`TrainingMethod`.
      data: The corpus.
      tokenizer: Its BPE model.
      processes: This process's place among the run's.
      seed: Batches, initial weights, dropout and SpecAugment are functions of it.
      dtype: ``float32``, or ``float16``/``bfloat16`` under autocast.
      scan_oom: Before training, try the batches that need most memory; None for only on a GPU.
      open_tracker: Opens what gets the figures, too; called in the main process, when training
        begins.
    """

    def __init__(
        self,
        exp_dir: Path,
        config: Config,
        model: nn.Module,
        method_class: Callable[[TrainingConfig, int], TrainingMethod],
        data: AsrDataModule,
        tokenizer: spm.SentencePieceProcessor,
        processes: Processes,
        seed: int,
        dtype: str = "float32",
        scan_oom: bool | None = None,
        open_tracker: Callable[[], Tracker | None] = lambda: None,
    ) -> None:
        self.exp_dir, self.config, self.settings = exp_dir, config, config.training
        self.data, self.tokenizer, self.processes, self.seed = data, tokenizer, processes, seed
        self.device = pick_device(processes)
        check_dtype(dtype, self.device)
        self._scan_oom = self.device.type == "cuda" if scan_oom is None else scan_oom
        self._open_tracker = open_tracker
        self.cut_filter = self._filter("training", data.train_cuts())
        self._filter("validating", data.valid_cuts())
        self.updates_per_epoch = self._count_batches()
        total_updates = self.updates_per_epoch * self.settings.num_epochs

        self.model = model.to(self.device)
        self.method = method_class(self.settings, total_updates)
        # `inner` is what the method wraps; `wrapped` is that under DDP.
        self.inner = self.wrapped = self.method.wrap(self.model)
        self.optimizer = make_optimizer(self.model, self.settings)
        for group in self.method.parameter_groups():
            self.optimizer.add_param_group(group)
        self.scheduler = Scheduler(self.optimizer, self.settings, total_updates)
        self.average = RunningAverage(self.model)
        self._autocast_dtype = DTYPES[dtype]
        # Scaling is for float16 gradients only; bfloat16 has float32's range.
        self.scaler = _make_scaler(enabled=dtype == "float16")
        self.augment = Augment(self.settings)
        self.epoch = 1  # the epoch under way
        self.batches_done = 0  # of that epoch
        self.update = 0  # batches of the whole run, skipped ones too
        self.skipped = 0
        self.passes = 0
        self.cost = 0.0  # the passes, each as the share of a whole one that it is
        self.timer = StepTimer()
        self._resume()
        if processes.world_size > 1:
            # Without device_ids, with which lengths would be moved to the device.
            unused = not self.method.trains_all
            self.wrapped = DistributedDataParallel(self.inner, find_unused_parameters=unused)

    @property
    def total_updates(self) -> int:
        return self.method.total_updates

    def fit(self) -> None:
        """Train to the last epoch; returns at once if that is done."""
        if self.epoch > self.settings.num_epochs:
            logging.info(f"{self.exp_dir}: all {self.settings.num_epochs} epochs are trained")
            return
        with self._open_writer() as writer:  # before the scan, which takes minutes
            if self._scan_oom:
                scan_for_out_of_memory(self)
            for _ in range(self.epoch, self.settings.num_epochs + 1):
                self._train_epoch(writer)
                self.batches_done = 0
                self.epoch += 1
                self._validate(writer)
                self._save(f"epoch-{self.epoch - 1}.pt")
        share = self.timer.waiting_share
        logging.info(
            f"trained {self.update - self.skipped} updates in {clock(self.timer.total)} "
            f"({share:.1%} of it waiting for data, {self.skipped} batches skipped)"
        )

    def _filter(self, doing: str, cuts: Iterable[Cut]) -> CutFilter:
        """Count what is left of cuts, and tell.

        Raises:
          RecipeError: Nothing is.
        """
        found = CutFilter(self.config, self.tokenizer)
        found.count(cuts)
        logging.info(found.report(doing))
        if found.num_kept == 0:
            why = f" ({found.reasons()})" if found.dropped else ""
            raise RecipeError(
                f"{self.data.data_dir}: no cut is left for {doing}{why}; mend the manifests, or "
                "leave out less by training.min_duration and training.max_cut_duration"
            )
        return found

    def _count_batches(self) -> int:
        """Batches of an epoch."""
        sampler = self.data.train_sampler(
            self.cut_filter,
            self.settings,
            self.seed,
            1,
            self.processes.rank,
            self.processes.world_size,
        )
        return max(1, round(sum(1 for _ in sampler) * self.settings.epoch_share))

    # One epoch, one update.

    def _train_epoch(self, writer: MetricsWriter | None) -> None:
        self.wrapped.train()
        loader = self.data.train_dataloader(
            self.cut_filter,
            self.settings,
            self.seed,
            self.epoch,
            skip=self.batches_done,
            rank=self.processes.rank,
            world_size=self.processes.world_size,
        )
        bar = tqdm(
            total=self.updates_per_epoch,
            initial=self.batches_done,
            desc=f"epoch {self.epoch}/{self.settings.num_epochs}",
            unit="batch",
            disable=None if self.processes.is_main else True,
            leave=False,
        )
        meter = LossMeter()
        self.timer.start()
        for raw in islice(loader, self.updates_per_epoch - self.batches_done):
            self.timer.data_arrived()
            seed_everything(self.seed, self.processes.rank, self.update)
            grad_norm = self.train_step(self.make_batch(raw), meter)
            self.update += 1
            self.batches_done += 1
            self.timer.step_done()
            bar.update()
            self._after_update(writer, meter, grad_norm)
            self.timer.start()
        bar.close()

    def make_batch(self, raw: dict[str, Any], augment: bool = True) -> Batch:
        """A lhotse batch, tokenised, on the device but for its lengths, and augmented."""
        y, y_lens = encode_texts(self.tokenizer, batch_texts(raw))
        features = raw["inputs"].to(self.device, non_blocking=True)
        lens = raw["supervisions"]["num_frames"]
        if augment:
            features = self.augment(features, lens)
        return Batch(features, lens, y.to(self.device, non_blocking=True), y_lens)

    def train_step(self, batch: Batch, meter: LossMeter) -> float:
        """One update; a batch whose loss or gradient is not finite changes nothing.

        The host waits for the device once, when all passes are under way.

        Returns:
          The gradient's norm before clipping; nan if the batch was skipped.
        """
        self.optimizer.zero_grad(set_to_none=True)
        infos, losses = [], []
        for which in self.method.passes(self.update):
            with self.autocast():
                loss, info = self.method.loss(self.wrapped, batch, which, self.update)
            # DDP's gradient is a mean over processes, the loss one over a process's frames.
            # Weighted by these it is one over all frames, as of a process with the whole batch.
            share = self.processes.of_mean(info["frames"])
            self.scaler.scale(loss * share).backward()
            self.passes += 1
            self.cost += self.method.cost(which)
            infos.append(info)
            losses.append(loss.detach())
        self.scaler.unscale_(self.optimizer)
        limit = self.settings.clip_grad_norm
        total_norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        infos, (norm, *losses) = read_info(infos, total_norm, *losses)
        if any(self.processes.sum([not all(map(math.isfinite, losses))])):
            return self._skip("loss")
        for info in infos:
            meter.add(info)
        # With float16 the scaler itself leaves out a step whose gradients overflowed.
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            return self._skip("gradient")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.method.stepped()
        self.scheduler.step()
        return norm

    def _skip(self, what: str) -> float:
        self.skipped += 1
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        self.scheduler.step()
        logging.warning(f"update {self.update}: the {what} is not finite; batch skipped")
        if self.skipped > max(20, self.total_updates // 10):
            raise RecipeError(
                f"{self.skipped} batches had a loss or gradient that is not finite; "
                "lower training.base_lr or look at the data"
            )
        return math.nan

    def autocast(self) -> contextlib.AbstractContextManager:
        """Where the forward pass runs: in ``dtype``."""
        if self._autocast_dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self._autocast_dtype)

    def _after_update(self, writer, meter: LossMeter, grad_norm: float) -> None:
        if self.update % self.settings.average_period == 0:
            self.average.update(self.model)
        if self.update % self.settings.log_interval == 0:
            self._log(writer, meter, grad_norm)
        last = self.batches_done >= self.updates_per_epoch
        if self.update % self.settings.valid_interval == 0 and not last:
            self._validate(writer)
        if self.update % self.settings.save_every_n == 0 and not last:
            self._save(f"checkpoint-{self.update}.pt")
            if self.processes.is_main:
                remove_old(self.exp_dir, self.settings.keep_last_k)

    # Validation, logs.

    def _open_writer(self) -> contextlib.AbstractContextManager[MetricsWriter | None]:
        if not self.processes.is_main:
            return contextlib.nullcontext()
        return MetricsWriter(self.exp_dir, self.update, self._open_tracker())

    @torch.no_grad()
    def _validate(self, writer: MetricsWriter | None) -> None:
        self.wrapped.eval()
        for name, which in self.method.validation_passes().items():
            meter, infos = LossMeter(), []
            loader = self.data.valid_dataloader(
                self.cut_filter,
                self.settings.max_duration,
                self.processes.rank,
                self.processes.world_size,
            )
            for raw in loader:
                batch = self.make_batch(raw, augment=False)
                with self.autocast():
                    # Not through DDP: ranks may have different numbers of batches.
                    _, info = self.method.loss(self.inner, batch, which, self.total_updates)
                infos.append(info)
            for info in read_info(infos)[0]:
                meter.add(info)
            keys = ["loss", "simple_loss", "pruned_loss", "frames"]
            totals = self.processes.sum([meter.sums[k] for k in keys])
            means = mean_losses(dict(zip(keys, totals, strict=True)))
            self._write(writer, "valid", {f"{k}{name}": v for k, v in means.items()})
            logging.info(f"update {self.update}: validation{name} " + _losses(means))
        self.wrapped.train()

    def _log(self, writer, meter: LossMeter, grad_norm: float) -> None:
        means = meter.means()
        rate = self.scheduler.rate
        left = (self.total_updates - self.update) * self.timer.total / self.update
        logging.info(
            f"epoch {self.epoch}, update {self.update}/{self.total_updates}, {_losses(means)}, "
            f"lr {rate:.2e}, grad norm {grad_norm:.2f}, "
            f"data {self.timer.waiting_share:.1%}, ETA {clock(max(0, left))}"
        )
        values = {**means, "learning_rate": rate, "grad_norm": grad_norm, "epoch": self.epoch}
        self._write(writer, "train", values)
        meter.clear()

    def _write(self, writer: MetricsWriter | None, group: str, values: dict[str, float]) -> None:
        if writer is not None:
            writer.write(group, self.update, self.timer.total, values)

    # Checkpoints.

    def state(self) -> dict[str, Any]:
        """Everything that going on needs, of tensors and plain types."""
        return {
            "model": self.model.state_dict(),
            "model_avg": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {"update": self.scheduler.update},
            "scaler": self.scaler.state_dict(),
            "sampler": {"epoch": self.epoch, "batches_done": self.batches_done},
            "method": self.method.state_dict(),
            "rng": get_rng_state(),
            "config": self.config.to_dict(),
            "tokens": symbols(self.tokenizer),
            "normalization": text_pipeline(self.tokenizer).rule,
            "vocab_size": self.tokenizer.get_piece_size(),
            "corpus": self.data.corpus.name,
            "seed": self.seed,
            "world_size": self.processes.world_size,
            "update": self.update,
            "skipped": self.skipped,
            "train_updates": self.update - self.skipped,
            "train_passes": self.passes,
            "train_cost": self.cost,
            "train_seconds": self.timer.total,
            "train_waiting": self.timer.waiting,
        }

    def _save(self, name: str) -> None:
        if self.processes.is_main:
            save_checkpoint(self.exp_dir / name, self.state())
        self.processes.barrier()

    def _resume(self) -> None:
        found = load_newest(self.exp_dir, logging.warning)
        if found is None:
            return
        path, state = found
        tokens, rule = symbols(self.tokenizer), text_pipeline(self.tokenizer).rule
        check_same_run(path, state, self.config, self.seed, tokens, rule)
        if state["world_size"] != self.processes.world_size:
            raise RecipeError(
                f"{path}: trained by {state['world_size']} processes, now "
                f"{self.processes.world_size}; use as many, or another --exp-dir"
            )
        # What it started from stays on record, whatever this call says.
        started = Config.from_dict(state["config"], str(path)).training.init_from
        self.config = self.config.with_training(init_from=started)
        load_weights(self.model, state["model"], path)
        self.average.load_state_dict(state["model_avg"])
        # Before the optimizer, which says less well that they belong to another method.
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        # Recomputed and not restored, so that a run can be prolonged with more epochs.
        self.scheduler.go_to(state["scheduler"]["update"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch = state["sampler"]["epoch"]
        self.batches_done = state["sampler"]["batches_done"]
        self.update, self.skipped = state["update"], state["skipped"]
        self.passes, self.cost = state["train_passes"], state["train_cost"]
        self.timer.total, self.timer.waiting = state["train_seconds"], state["train_waiting"]
        set_rng_state(state["rng"])
        logging.info(f"going on from {path} (update {self.update})")


def _make_scaler(enabled: bool):
    if hasattr(torch.amp, "GradScaler"):  # torch 2.3 and later
        return torch.amp.GradScaler("cuda", enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)


def _losses(means: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in means.items())
