# SPDX-License-Identifier: Apache-2.0
"""The sub-networks of a trained model, each with plain weights of its own."""

from __future__ import annotations

import argparse
import copy
import dataclasses
from pathlib import Path

from emformer.decode_model import DecodingInfo, load_decoding_model
from emformer.errors import RecipeError
from emformer.model import Transducer
from omni_emformer.subnet_loader import make_supernet, restore_supernet
from omni_emformer.system import load_system
from omni_plugin import OmniError


class Subnets:
    """Loads a model once and makes any of its sub-networks.

    Args:
      options: Which checkpoint, as decoding's options.
      system: How to prune a model that has no supernet; a YAML file of conf/systems.

    Attributes:
      model, info: The dense model.
      one_shot: Whether it was trained without a supernet.

    Raises:
      RecipeError: No such checkpoint; it has a supernet of its own beside ``system``.
    """

    def __init__(self, options: argparse.Namespace, system: Path | None = None) -> None:
        self.model, self.info = load_decoding_model(options)
        restored = restore_supernet(self.model, self.info.checkpoint)
        self.one_shot = restored is None
        if system is not None and not self.one_shot:
            raise RecipeError(
                f"{self.info.checkpoint} has a supernet of its own; leave out --system {system}"
            )
        self.settings, self.supernet = restored or (None, None)
        if system is not None:
            self.settings = load_system(system).sparsity
            self.supernet = make_supernet(self.model, self.settings)

    def levels(self) -> list[float]:
        """What the settings validate, with the extremes; only the model itself without any."""
        if self.settings is None:
            return [0.0]
        if not self.one_shot and self.settings.grow_from >= 1:
            return [self.settings.max_sparsity]  # no other size was trained
        return sorted({0.0, *self.settings.valid_levels, self.settings.max_sparsity})

    def make(self, level: float) -> tuple[Transducer, DecodingInfo]:
        """The sub-network of a global level; level 0 is the dense model itself.

        Raises:
          RecipeError: The level is outside [0, 1), or there is nothing to prune by.
        """
        if level == 0:
            # A copy, since whoever decodes it may move it to another device.
            return copy.deepcopy(self.model), self.info
        if self.supernet is None:
            raise RecipeError(
                f"{self.info.checkpoint} holds no supernet; say how to prune it, such as by "
                "--system conf/systems/omni.yaml"
            )
        try:
            subnet = self.supernet.subnet(level)
            model = self.supernet.baked_model(subnet)
        except OmniError as e:
            raise RecipeError(f"level {level}: {e}") from e
        tail = f"_sparsity-{subnet.name}"
        if self.one_shot:
            tail = f"_one-shot-{self.supernet.pattern.name.replace(':', 'of')}{tail}"
        info = dataclasses.replace(self.info, subnet=subnet.name, tail=self.info.tail + tail)
        info.measure(model)
        return model, info

    def coverage(self) -> dict | None:
        """What can be pruned, as plain types; None where nothing is."""
        if self.supernet is None:
            return None
        return {
            "pattern": self.supernet.pattern.name,
            "num_weights": len(self.supernet.layer_names),
            "num_params": sum(self.supernet.layer_sizes),
        }
