# SPDX-License-Identifier: Apache-2.0
"""The layer selection of a transducer."""

from __future__ import annotations

from emformer.errors import RecipeError
from emformer.model import Transducer
from omni_plugin import OmniError
from omni_plugin.layer_selection import LayerSelectionSettings, LayerTraining, Units


def encoder_units(model: Transducer) -> Units:
    """Residual units of the encoder, by names of the model's modules."""
    units = model.encoder.residual_units()
    return {name: tuple(f"encoder.{m}" for m in modules) for name, modules in units.items()}


def make_layers(
    model: Transducer, settings: LayerSelectionSettings, total_updates: int = 1, seed: int = 0
) -> LayerTraining:
    """As :class:`LayerTraining`, of the encoder's units; raises RecipeError."""
    try:
        return LayerTraining(
            model,
            encoder_units(model),
            settings,
            total_updates,
            seed,
            stand_in=lambda: None,  # the encoder leaves out units that are None
            batch_dim=1,
        )
    except OmniError as e:
        raise RecipeError(str(e)) from e
