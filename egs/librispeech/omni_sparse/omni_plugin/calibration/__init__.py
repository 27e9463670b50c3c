# SPDX-License-Identifier: Apache-2.0
"""Pruning of a trained model in closed form, layer by layer, without training."""

from omni_plugin.calibration.closed_form import Calibration, calibrate
from omni_plugin.calibration.settings import CalibrationSettings
from omni_plugin.calibration.walk import Call

__all__ = ["Calibration", "CalibrationSettings", "Call", "calibrate"]
