# SPDX-License-Identifier: Apache-2.0
"""Configurations: the one place where architecture, chunking and training settings live.

A configuration is a YAML file with the sections ``model`` and ``training``. Training copies it
into every checkpoint; decoding and export read it there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from emformer.errors import RecipeError
from emformer.overrides import Override, check_names, merge, named_with, setting_names
from emformer.yaml_file import read_yaml

FRAME_SHIFT_MS = 10

# Residual units of an encoder layer, in order.
UNITS = ("attention", "ffn")


@dataclass(frozen=True)
class ModelConfig:
    """Architecture and chunking. Lengths are in encoder frames unless said otherwise.

    Args:
      feature_dim: Mel bins.
      frontend: ``stack`` (stacks frames, as torchaudio's Emformer RNN-T) or ``conv`` (strided
        convolutions over time without padding).
      subsampling: 10 ms frames an encoder frame; the ``conv`` front end has 4.
      stack_window: 10 ms frames that the ``stack`` front end stacks, ``subsampling`` or more; what
        it has more looks ahead, beyond the right context.
      encoder_dim, num_heads, ffn_dim, num_layers, dropout, activation: The Emformer's width, heads
        of attention, width of its feed-forward units, number of layers, dropout, and the units'
        activation as torchaudio calls it.
      segment: Frames of a chunk.
      right_context: Frames of look-ahead after a chunk.
      left_context: Frames of the past that attention sees.
      decoder_dim, context_size: The stateless decoder and the number of symbols it sees.
      joiner_dim: Width of the joiner.
      removed_units: Residual units that the encoder lacks, such as ``2.attention`` and ``0.ffn``,
        by the number of the layer.
    """

    feature_dim: int = 80
    frontend: str = "stack"
    subsampling: int = 4
    stack_window: int = 4
    encoder_dim: int = 144
    num_heads: int = 4
    ffn_dim: int = 576
    num_layers: int = 6
    dropout: float = 0.1
    activation: str = "relu"
    segment: int = 8
    right_context: int = 2
    left_context: int = 24
    decoder_dim: int = 144
    context_size: int = 2
    joiner_dim: int = 144
    removed_units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least = {"right_context": 1, "left_context": 0, "dropout": 0}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, (int, float)) and value < least.get(f.name, 1):
                bound = least.get(f.name, 1)
                raise RecipeError(f"model.{f.name} is {value}; it must be >= {bound}")
        if self.dropout >= 1:
            raise RecipeError(f"model.dropout is {self.dropout}; it must lie in [0, 1)")
        known = [f"{number}.{unit}" for number in range(self.num_layers) for unit in UNITS]
        for name in self.removed_units:
            if name not in known:
                raise RecipeError(
                    f"model.removed_units has {name!r}; the model has {known[0]} to {known[-1]}"
                )
        object.__setattr__(self, "removed_units", tuple(self.removed_units))  # YAML has lists
        if self.frontend not in ("stack", "conv"):
            raise RecipeError(f"model.frontend is {self.frontend!r}; it must be stack or conv")
        if self.frontend == "conv" and self.subsampling != 4:
            raise RecipeError(f"model.subsampling is {self.subsampling}; the conv front end has 4")
        if self.stack_window < self.subsampling:
            raise RecipeError(
                f"model.stack_window {self.stack_window} is less than "
                f"model.subsampling {self.subsampling}"
            )
        if self.encoder_dim % self.num_heads:
            raise RecipeError(
                f"model.encoder_dim {self.encoder_dim} is not a multiple of "
                f"model.num_heads {self.num_heads}"
            )

    @property
    def frame_ms(self) -> int:
        """Milliseconds of an encoder frame."""
        return FRAME_SHIFT_MS * self.subsampling

    @property
    def chunk_ms(self) -> int:
        return self.frame_ms * self.segment

    @property
    def frontend_overlap(self) -> int:
        """10 ms frames that the front end sees beyond those of its encoder frames."""
        return 25 if self.frontend == "conv" else self.stack_window - self.subsampling

    @property
    def right_context_ms(self) -> int:
        """All look-ahead after a chunk: the encoder's and the front end's."""
        return self.frame_ms * self.right_context + FRAME_SHIFT_MS * self.frontend_overlap

    @property
    def left_context_ms(self) -> int:
        return self.frame_ms * self.left_context


@dataclass(frozen=True)
class SpecAugmentConfig:
    """Arguments of lhotse's SpecAugment.

    Args:
      time_warp_factor: Frames of 10 ms by which a point in time may be moved; 0 for no warping.
      num_feature_masks, features_mask_size: Masks over mel bins, and the widest, in bins.
      num_frame_masks, frames_mask_size: Masks over time, and the longest, in frames of 10 ms.
      max_frames_mask_fraction: Largest share of an utterance that masks over time may take.
      p: Share of the utterances that are augmented.
    """

    time_warp_factor: int = 0
    num_feature_masks: int = 2
    features_mask_size: int = 15
    num_frame_masks: int = 2
    frames_mask_size: int = 30
    max_frames_mask_fraction: float = 0.15
    p: float = 0.9


OPTIMIZERS = "adamw", "muon"
# Of whole numbers it is else 1, of others 0.
_LEAST = {"num_workers": 0, "prune_range": 2, "shortest_first": 0}


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Args:
      num_epochs: Passes over the training set.
      epoch_share: Share of the training set's batches that make an epoch, others in each. For a
        training that goes on from a trained model and is done before it has seen everything.
      max_duration: Seconds of audio in a batch, padding included (a DDP rank's share).
      base_lr: Highest learning rate.
      optimizer: ``adamw``, or ``muon`` for the matrices of the encoder's layers and AdamW for the
        rest (:mod:`emformer.training.muon`): of each sample more is learnt, at 1.4 times the time
        of a step (demo.yaml's model, 30 s a batch, on a CPU; 1.2 times with 60 s).
      muon_momentum: Of Muon. For 2,500 updates the usual 0.95 is slow: with 60 s a batch and
        base_lr 0.006 the demo model had 7.3 % WER (mean of 6 seeds), with 0.9 5.9 % (one seed).
      outer_lr_scale: Learning rate of all that is outside of the encoder's layers (front end,
        decoder, joiners) as a share of ``base_lr``: below 1 where only the layers have much to
        learn, such as after pruning.
      shortest_first: Updates at the start that get the shortest batches, in order of length: where
        few symbols lie in few frames, a model soon finds out which sound is which. It then leaves
        the plateau earlier that a transducer's loss has at first.
      warmup_fraction: Share of all updates in which the learning rate rises linearly.
      final_lr_fraction: Learning rate of the last update as a share of ``base_lr`` (cosine decay).
      weight_decay: Decoupled, on matrices only.
      clip_grad_norm: Largest norm of the gradient.
      prune_range: Symbols a frame of the pruned lattice.
      rnnt_type: Paths of the lattice: ``modified`` allows one symbol a frame, which is what the
        searches (here and in sherpa-onnx) emit at most; ``regular`` allows any number. With small
        word pieces a regular model bunches symbols on a frame and the search loses them.
      lm_scale, am_scale: Smoothing of the simple loss (see k2's rnnt_loss_smoothed). The share
        ``am_scale`` makes the encoder name symbols without the decoder's help. With icefall's
        0.25 and 0 a run of the demo model had a pruned loss of 0.58 a frame after 450 updates, with
        0 and 0.5 of 0.34 (one run each, same data and seed).
      simple_loss_scale: Weight of the simple loss after the warm-up.
      loss_warmup_fraction: Share of all updates in which the pruned loss is phased in.
      spec_augment: SpecAugment's settings, or null for none.
      volume_db: Each utterance is made louder or softer by up to so many decibels; 0 for none.
      init_from: Where the weights come from that training starts with: the folder of another
        experiment, or a checkpoint, which is what is recorded here. Empty for new weights.
      average_period: Updates between two samples of the running model average.
      save_every_n: Updates between two checkpoints within an epoch.
      keep_last_k: Number of these that are kept.
      valid_interval: Updates between two validations (and at each epoch's end).
      log_interval: Updates between two log lines.
      min_duration, max_cut_duration: Seconds; cuts outside are left out and counted.
      num_buckets, num_workers: Of lhotse's DynamicBucketingSampler and of the data loader.
    """

    num_epochs: int = 10
    epoch_share: float = 1.0
    max_duration: float = 60.0
    base_lr: float = 3e-3
    optimizer: str = "adamw"
    muon_momentum: float = 0.95
    outer_lr_scale: float = 1.0
    shortest_first: int = 0
    warmup_fraction: float = 0.1
    final_lr_fraction: float = 0.01
    weight_decay: float = 1e-2
    clip_grad_norm: float = 5.0
    prune_range: int = 5
    rnnt_type: str = "modified"
    lm_scale: float = 0.0
    am_scale: float = 0.5
    simple_loss_scale: float = 0.5
    loss_warmup_fraction: float = 0.1
    spec_augment: SpecAugmentConfig | None = field(default_factory=SpecAugmentConfig)
    volume_db: float = 0.0
    init_from: str = ""
    average_period: int = 20
    save_every_n: int = 500
    keep_last_k: int = 2
    valid_interval: int = 500
    log_interval: int = 50
    min_duration: float = 0.3
    max_cut_duration: float = 20.0
    num_buckets: int = 20
    num_workers: int = 1

    def __post_init__(self) -> None:
        for f in fields(self):
            value, least = getattr(self, f.name), _LEAST.get(f.name, 1 if f.type == "int" else 0)
            if isinstance(value, (int, float)) and value < least:
                raise RecipeError(f"training.{f.name} is {value}; it must be >= {least}")
        for name in ("max_duration", "base_lr", "clip_grad_norm"):
            if not getattr(self, name):
                raise RecipeError(f"training.{name} is 0; it must be more")
        for name, known in (("rnnt_type", ("regular", "modified")), ("optimizer", OPTIMIZERS)):
            value = getattr(self, name)
            if value not in known:
                raise RecipeError(f"training.{name} is {value!r}; it must be {' or '.join(known)}")
        if not 0 < self.epoch_share <= 1:
            raise RecipeError(f"training.epoch_share is {self.epoch_share}; it must lie in (0, 1]")
        if self.muon_momentum >= 1:
            raise RecipeError(
                f"training.muon_momentum is {self.muon_momentum}; it must lie in [0, 1)"
            )


@dataclass(frozen=True)
class Config:
    """A whole configuration; :meth:`to_dict` is what checkpoints carry."""

    model: ModelConfig
    training: TrainingConfig

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "config") -> Config:
        """Build a configuration from plain types.

        Raises:
          RecipeError: An unknown key or a value of another type; ``where`` says where it stands.
        """
        _check_keys(cls, data, where)
        training = data.get("training") or {}
        if isinstance(training, dict):
            training = dict(training)
        else:
            _check_keys(TrainingConfig, training, f"{where}: training")
        if training.get("spec_augment") is not None:
            training["spec_augment"] = _build(
                SpecAugmentConfig, training["spec_augment"], f"{where}: training.spec_augment"
            )
        return cls(
            model=_build(ModelConfig, data.get("model") or {}, f"{where}: model"),
            training=_build(TrainingConfig, training, f"{where}: training"),
        )

    def with_training(self, **changes: Any) -> Config:
        """A copy with other training settings; values that are None change nothing."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, training=replace(self.training, **given))


def load_config(path: str | Path, overrides: Sequence[Override] = ()) -> Config:
    """Read a YAML configuration, with other values for some of its settings.

    Raises:
      RecipeError: The file is missing, is no YAML, or has an unknown key; or there is no such
        setting.
    """
    data, where = read_yaml(path, "configuration", "see conf/"), str(path)
    check_names(overrides, setting_names(Config), where)
    return Config.from_dict(merge(data, overrides, where), named_with(where, overrides))


def _check_keys(cls: type, data: Any, where: str) -> None:
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: expected settings (key: value), found {data!r}")
    known = {f.name for f in fields(cls)}
    unknown = sorted(set(data) - known, key=str)
    if unknown:
        raise RecipeError(f"{where}: unknown {unknown[0]!r}; known: {', '.join(sorted(known))}")


def _build(cls: type, data: Any, where: str) -> Any:
    _check_keys(cls, data, where)
    for f in fields(cls):
        value = data.get(f.name)
        if f.type in _FITTING and f.name in data and not _fits(value, f.type):
            raise RecipeError(f"{where}.{f.name}: {value!r} is not of type {f.type}")
    try:
        return cls(**data)
    except RecipeError as e:  # what a value cannot be, though it is of the type
        raise RecipeError(f"{where}: {e}") from e


_FITTING = {"int": int, "float": (int, float), "str": str, "tuple[str, ...]": (list, tuple)}


def _fits(value: Any, kind: str) -> bool:
    if kind.startswith("tuple"):
        return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return not isinstance(value, bool) and isinstance(value, _FITTING[kind])
