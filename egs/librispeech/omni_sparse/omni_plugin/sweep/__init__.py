# SPDX-License-Identifier: Apache-2.0
"""Decode many sub-networks in many ways, each once, however often the sweep is interrupted."""

from omni_plugin.sweep.grid import Cell, Job, Variant, grid, plan
from omni_plugin.sweep.run import run_sweep

__all__ = ["Cell", "Job", "Variant", "grid", "plan", "run_sweep"]
