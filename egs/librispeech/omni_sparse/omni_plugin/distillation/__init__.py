# SPDX-License-Identifier: Apache-2.0
"""What a sub-network learns from the full one, and how much dropout it sees meanwhile."""

from omni_plugin.distillation.adaptive_dropout import AdaptiveDropout
from omni_plugin.distillation.lattice import BLANK, lattice_labels, lattice_mask
from omni_plugin.distillation.losses import (
    DISTILLATIONS,
    ENCODER,
    distillation_loss,
    encoder_distance,
)

__all__ = [
    "BLANK",
    "DISTILLATIONS",
    "ENCODER",
    "AdaptiveDropout",
    "distillation_loss",
    "encoder_distance",
    "lattice_labels",
    "lattice_mask",
]
