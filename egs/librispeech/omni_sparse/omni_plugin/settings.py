# SPDX-License-Identifier: Apache-2.0
"""Settings of a supernet's training, as a configuration file holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omni_plugin.distillation import DISTILLATIONS, ENCODER
from omni_plugin.errors import OmniError
from omni_plugin.options import called, check_fields, check_rules, checked, plain, said_of, sizes
from omni_plugin.patterns import Pattern, make_pattern
from omni_plugin.sampling import LevelSpace, Schedule, check_sampler, make_ramp


@dataclass(frozen=True)
class DistillationSettings:
    """What sub-networks learn from the full one (only where it runs before them on the same batch).

    Args:
      kind: ``kl``, ``label-blank`` or ``alpha``, of the pruned lattice, or ``encoder``, the squared
        error of the encoder's outputs; see :mod:`omni_plugin.distillation`.
      weight: Of the distillation loss beside the sub-network's own. It sums over all cells of the
        lattice, most of them off the best path: with a weight of 1 (and ``kl``) a run on spoken
        digits unlearnt what it knew.
      start: Share of the run before which there is none: a teacher that knows nothing yet holds
        the others back.
      teacher_dropout: Whether the full network's pass has dropout.
    """

    kind: str = "kl"
    weight: float = 0.1
    start: float = 0.4
    teacher_dropout: bool = True

    def __post_init__(self) -> None:
        check_fields(self, "sparsity.distillation")
        kinds = (*DISTILLATIONS, ENCODER)
        if self.kind not in kinds:
            raise OmniError(
                f"sparsity.distillation.kind is {self.kind!r}; known: {', '.join(kinds)}"
            )
        if not 0 <= self.weight < math.inf:
            raise OmniError(f"sparsity.distillation.weight is {self.weight}; it must be >= 0")
        if not 0 <= self.start <= 1:
            raise OmniError(f"sparsity.distillation.start is {self.start}; it must lie in [0, 1]")


@dataclass(frozen=True)
class SparsitySettings:
    """How a supernet is made and trained.

    Args:
      pattern: ``RxC``, ``N:M`` or ``unstructured``; see :func:`omni_plugin.patterns.make_pattern`.
      score: Of a block, ``l1``, ``l2`` or ``random``, which is drawn once.
      include, exclude: Regular expressions on the names of weights. Covered are the matrices whose
        names hold one of the first and none of the second; see
        :func:`omni_plugin.supernet.find_weights`.
      max_sparsity: The highest in play, that of the sparsest sub-network.
      levels: Sizes that are drawn, besides dense and sparsest; empty for any up to
        ``max_sparsity``.
      layer_spread: How far a weight's level may be from the size drawn.
      max_layer_sparsity: The highest of a single weight; 0 for ``max_sparsity``.
      sampler: ``name`` and its options, see :mod:`omni_plugin.sampling.samplers`.
      ramp: ``name``, ``start`` and ``end`` (shares of the run), see
        :mod:`omni_plugin.sampling.ramp`.
      grow_from: Share of the run before which, ramp by ramp, only the sparsest sub-network is
        trained; from then on the sampler draws. 0 lets it draw from the start.
      grow_until: Share of the run from which the full network is drawn; between the two the
        densest one grows, see :class:`omni_plugin.sampling.Schedule`.
      shrink: Factor on the weights that are pruned at a refresh before ``grow_from``. Small ones
        let the denser sub-networks start from what the sparsest has learnt.
      refresh_every: Updates between two rankings of the blocks.
      freeze_from: Share of the run after which the ranking stays.
      distillation: What sub-networks learn from the full one; None for nothing but the labels.
      adaptive_dropout: Scale dropout by the density of the sub-network.
      valid_levels: Validated in training and decoded by the sweep; dense and sparsest always are.
        None for those of 0.5, 0.7, 0.8 and 0.9 that do not exceed ``max_sparsity``.

    Raises:
      OmniError: A value is of another type or impossible, for itself or beside the others.
    """

    pattern: str = "8x1"
    score: str = "l1"
    include: tuple[str, ...] = (".*",)
    exclude: tuple[str, ...] = ()
    max_sparsity: float = 0.9
    levels: tuple[float, ...] = ()
    layer_spread: float = 0.0
    max_layer_sparsity: float = 0.0
    sampler: Mapping[str, Any] = field(default_factory=lambda: {"name": "single"})
    ramp: Mapping[str, Any] = field(
        default_factory=lambda: {"name": "cubic", "start": 0.15, "end": 0.55}
    )
    grow_from: float = 0.0
    grow_until: float = 0.0
    shrink: float = 1.0
    refresh_every: int = 50
    freeze_from: float = 0.6
    distillation: DistillationSettings | None = None
    adaptive_dropout: bool = True
    valid_levels: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self, "sparsity")
        if self.refresh_every < 1:
            raise OmniError(f"sparsity.refresh_every is {self.refresh_every}; it must be >= 1")
        for name in ("freeze_from", "grow_from", "grow_until", "shrink"):
            if not 0 <= getattr(self, name) <= 1:
                value = getattr(self, name)
                raise OmniError(f"sparsity.{name} is {value}; it must lie in [0, 1]")
        if isinstance(self.distillation, Mapping):
            part = checked(DistillationSettings, self.distillation, "sparsity.distillation")
            object.__setattr__(self, "distillation", DistillationSettings(**part))
        check_rules(self.include, "sparsity.include")
        check_rules(self.exclude, "sparsity.exclude")
        if 0 < self.grow_until < self.grow_from:
            raise OmniError(
                f"sparsity.grow_until {self.grow_until} is below grow_from {self.grow_from}"
            )
        with said_of("sparsity"):
            self._check_sparsities(make_pattern(self.pattern, self.score))
            self.make_schedule()
        with said_of("sparsity.sampler"):
            sampler = check_sampler(self.sampler)
        if self.distillation and not sampler.teaches:
            raise OmniError(
                f"sparsity.distillation: with the sampler {self.sampler['name']} no pass of "
                "the full network comes before the others on their batch; use sandwich"
            )

    def _check_sparsities(self, pattern: Pattern) -> None:
        self.make_space()
        pattern.check_level(self.max_sparsity, "max_sparsity")
        if self.max_layer_sparsity:
            pattern.check_level(self.max_layer_sparsity, "max_layer_sparsity")
        for level in self.valid_levels or ():
            pattern.check_level(level, "valid_levels")

    def sizes(self) -> list[float]:
        """Sparsities that are validated and decoded: ascending, with the extremes."""
        return sizes(self.valid_levels, self.max_sparsity)

    def make_space(self) -> LevelSpace:
        """The sparsities that may be drawn."""
        spread = self.layer_spread, self.max_layer_sparsity
        return LevelSpace(self.max_sparsity, self.levels, *spread)

    def make_schedule(self) -> Schedule:
        """Which sparsities are in play when."""
        options = dict(self.ramp)
        ramp = make_ramp(options.pop("name"), options.pop("start", 0.0), options.pop("end", 1.0))
        if options:
            raise OmniError(f"ramp: unknown {next(iter(options))!r}")
        growth = self.grow_from, max(self.grow_from, self.grow_until)
        return Schedule(self.max_sparsity, ramp, *growth)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, with lists for tuples."""
        return plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None, where: str = "sparsity") -> SparsitySettings:
        """Settings of plain types, as a YAML file gives them.

        Raises:
          OmniError: An unknown key or a value of another type; ``where`` says where it stands.
        """
        with called("sparsity", where):
            return cls(**checked(cls, data or {}, "sparsity"))
