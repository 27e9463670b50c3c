# SPDX-License-Identifier: Apache-2.0
"""Settings of a system that is pruned in closed form."""

from __future__ import annotations

from dataclasses import dataclass

from omni_plugin import OmniError
from omni_plugin.calibration import CalibrationSettings


@dataclass(frozen=True)
class RecipeCalibration(CalibrationSettings):
    """As :class:`CalibrationSettings`, with what it is made on.

    Args:
      seconds: Of training speech, evenly spread over the data; texts are not used. Time and the
        activations that are held grow with it.
    """

    seconds: float = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.seconds > 0:
            raise OmniError(f"calibrated.seconds is {self.seconds}; it must be above 0")
