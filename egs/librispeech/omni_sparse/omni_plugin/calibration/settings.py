# SPDX-License-Identifier: Apache-2.0
"""Settings of a calibration, as a configuration file holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omni_plugin.calibration.scores import SCORES
from omni_plugin.errors import OmniError
from omni_plugin.options import called, check_fields, checked, plain, sizes
from omni_plugin.patterns import check_sparsity, make_pattern

ALLOCATIONS = ("uniform", "curves")


@dataclass(frozen=True)
class CalibrationSettings:
    """How a trained model is pruned in closed form.

    Args:
      pattern: ``RxC``, ``N:M`` or ``unstructured``; see :func:`omni_plugin.patterns.make_pattern`.
      include, exclude: Regular expressions on the names of weights, as in
        :class:`omni_plugin.SparsitySettings`.
      score: Of a block: ``obs``, ``wanda`` or ``magnitude``.
      least_squares: Solve for the weights that are left; else they stay as they were trained.
      damping: What is added to the diagonal of the inputs' second moments, as a share of its mean.
      allocation: ``uniform`` levels, or levels from the layers' error ``curves``, with as many
        weights in all.
      max_layer_sparsity: The highest of a single weight, with ``curves``.
      nested: One order of the blocks for all levels, by the whole model's inputs; else each level
        has its own, by the inputs it has itself.
      residual: Where a layer's outputs are added to something, mend the sum.
      biases: Re-estimate the biases of the pruned layers.
      norms: Give layer norms that run after a pruned layer the whole model's means and variances:
        least squares leaves outputs that vary less.
      max_sparsity, valid_levels: What a sweep decodes: these levels and the extremes; None for
        those of 0.5, 0.7, 0.8 and 0.9 that do not exceed ``max_sparsity``.
    """

    pattern: str = "8x1"
    include: tuple[str, ...] = (".*",)
    exclude: tuple[str, ...] = ()
    score: str = "obs"
    least_squares: bool = True
    damping: float = 1e-2
    allocation: str = "uniform"
    max_layer_sparsity: float = 0.95
    nested: bool = True
    residual: bool = True
    biases: bool = True
    norms: bool = True
    max_sparsity: float = 0.9
    valid_levels: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self, "calibrated")
        make_pattern(self.pattern)
        for level in (*(self.valid_levels or ()), self.max_sparsity):
            check_sparsity(level, "calibrated: level")
        check_sparsity(self.max_layer_sparsity, "calibrated.max_layer_sparsity")
        for name, known in (("score", SCORES), ("allocation", ALLOCATIONS)):
            value = getattr(self, name)
            if value not in known:
                raise OmniError(f"calibrated.{name} is {value!r}; known: {', '.join(known)}")
        if not self.nested and self.score != "obs":
            raise OmniError(
                f"calibrated.nested is false: only score obs has that, not {self.score}"
            )
        if not self.damping > 0:
            raise OmniError(f"calibrated.damping is {self.damping}; it must be above 0")

    def sizes(self) -> list[float]:
        """Sparsities that are decoded: ascending, with the extremes."""
        return sizes(self.valid_levels, self.max_sparsity)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, with lists for tuples."""
        return plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None, where: str = "calibrated"):
        """Settings of plain types, as a YAML file gives them.

        Raises:
          OmniError: An unknown key or a value of another type; ``where`` says where it stands.
        """
        with called("calibrated", where):
            return cls(**checked(cls, data or {}, "calibrated"))
