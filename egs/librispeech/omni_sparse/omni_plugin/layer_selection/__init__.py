# SPDX-License-Identifier: Apache-2.0
"""Sub-networks of fewer layers, selected while the model trains."""

from omni_plugin.layer_selection.heads import attach_heads
from omni_plugin.layer_selection.selectors import SELECTORS, Selector
from omni_plugin.layer_selection.settings import LayerSelectionSettings
from omni_plugin.layer_selection.supernet import LayerSupernet, Selection
from omni_plugin.layer_selection.training import FULL, LayerPass, LayerTraining
from omni_plugin.layer_selection.units import Units, Zeros, find_units

__all__ = [
    "FULL",
    "SELECTORS",
    "LayerPass",
    "LayerSelectionSettings",
    "LayerSupernet",
    "LayerTraining",
    "Selection",
    "Selector",
    "Units",
    "Zeros",
    "attach_heads",
    "find_units",
]
