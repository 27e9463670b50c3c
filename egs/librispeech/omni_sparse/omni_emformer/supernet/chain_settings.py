# SPDX-License-Identifier: Apache-2.0
"""Settings of a chain: a model that is pruned step by step, each step from the one before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from emformer.config import Config
from omni_emformer.supernet.calibrated_settings import RecipeCalibration
from omni_plugin import OmniError
from omni_plugin.options import checked, plain


@dataclass(frozen=True)
class ChainSettings:
    """How each level's training goes on from the one before, the first from the dense model.

    Args:
      shares: What the training of each level takes of the configuration's, in order of the levels.
      around: Name of another chain, one of whose networks is kept, exactly, and grown: the levels
        then descend, to 0 at the least, and each trains what that chain's network of the level has
        beyond the level before. So one set of weights holds all of them.
      core: The level of the network that is kept.
      epochs: Parts of each training, at the least: a part is never longer than an epoch. Decoding
        averages the weights over the last one.
      training: Training settings in place of the configuration's.
      teacher_weight: Of the squared error of the encoder's outputs, those of the dense model being
        the aim, beside the loss of the labels; with 0 nothing teaches.
      calibration: How a step is pruned in closed form before it is trained; which weights and
        which pattern is a matter of the section ``sparsity``.
    """

    shares: tuple[float, ...]
    around: str = ""
    core: float = 0.0
    epochs: int = 5
    training: Mapping[str, Any] = field(default_factory=dict)
    teacher_weight: float = 0.0
    calibration: RecipeCalibration = field(default_factory=RecipeCalibration)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise OmniError(f"chain.epochs is {self.epochs}; it must be >= 1")
        if not self.shares or min(self.shares) <= 0:
            raise OmniError(f"chain.shares is {list(self.shares)}; each must be above 0")
        if not (0 < self.core < 1 if self.around else self.core == 0):
            raise OmniError(
                f"chain.core is {self.core}; with chain.around it must be between 0 and 1, and "
                "without it left out"
            )
        if not 0 <= self.teacher_weight < math.inf:
            raise OmniError(f"chain.teacher_weight is {self.teacher_weight}; it must be >= 0")
        taken = {"num_epochs", "epoch_share"} & set(self.training)
        if taken:
            raise OmniError(f"chain.training has {min(taken)}, which the shares decide")
        if self.calibration.allocation != "uniform":
            raise OmniError("chain.calibration.allocation: all weights of a step have its level")

    def configure(self, config: Config, where: str) -> Config:
        """The configuration of a step's training.

        Raises:
          RecipeError: There is no such training setting.
        """
        (share,) = self.shares
        whole = share * config.training.num_epochs
        epochs = max(self.epochs, math.ceil(whole))
        training = {**asdict(config.training), **self.training}
        # It starts from the level before, which may have started from something else.
        training.update(num_epochs=epochs, epoch_share=whole / epochs, init_from="")
        found = Config.from_dict({"training": training}, where)
        return replace(config, training=found.training)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, with lists for tuples."""
        return plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "chain") -> ChainSettings:
        """Settings of plain types, as a YAML file gives them.

        Raises:
          OmniError: An unknown key or a value of another type; ``where`` says where it stands.
        """
        if not isinstance(data, Mapping):
            raise OmniError(f"{where}: expected settings (key: value), found {data!r}")
        values = dict(data)
        calibration, training = values.pop("calibration", None), values.pop("training", {})
        if not isinstance(training, Mapping):
            raise OmniError(f"{where}.training: expected settings, found {training!r}")
        if "shares" not in values:
            raise OmniError(f"{where}: shares is missing")
        found = checked(cls, values, where)
        found["calibration"] = RecipeCalibration.from_dict(calibration, f"{where}.calibration")
        return cls(**found, training=training)
