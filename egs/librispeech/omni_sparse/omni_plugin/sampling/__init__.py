# SPDX-License-Identifier: Apache-2.0
"""Which sub-networks an update trains, and how sparse they may be by then."""

from omni_plugin.sampling.draws import LevelSpace, generator
from omni_plugin.sampling.ramp import RAMPS, CubicRamp, LinearRamp, Ramp, make_ramp
from omni_plugin.sampling.samplers import SAMPLERS, Pass, Sampler, check_sampler, make_sampler
from omni_plugin.sampling.schedule import Schedule, Span

__all__ = [
    "RAMPS",
    "SAMPLERS",
    "CubicRamp",
    "LevelSpace",
    "LinearRamp",
    "Pass",
    "Ramp",
    "Sampler",
    "Schedule",
    "Span",
    "check_sampler",
    "generator",
    "make_ramp",
    "make_sampler",
]
