# SPDX-License-Identifier: Apache-2.0
"""The sub-networks of a trained model, each with plain weights of its own."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import logging
from pathlib import Path

from emformer.decoding.model import DecodingInfo, load_decoding_model
from emformer.errors import RecipeError
from emformer.model import Transducer
from emformer.scoring.results import DENSE
from omni_emformer.supernet.loader import make_supernet, restore_supernet
from omni_emformer.supernet.system import System
from omni_emformer.supernet.system_file import read_system
from omni_plugin import OmniError, SubNet
from omni_plugin.layer_selection.training import size_name


class Subnets:
    """Loads a model once and makes any of its sub-networks.

    Args:
      options: Which checkpoint, as decoding's options.
      system: How to prune a model that has no supernet.

    Attributes:
      model, info: The model as it was trained. One that was made small for a level has its name.
      one_shot: Whether it was trained without a supernet.
      pruned_by: Name, in files and results, of how such a model is pruned.

    Raises:
      RecipeError: No such checkpoint; it has a supernet of its own beside ``system``.
    """

    pruned_by = "one-shot"

    def __init__(self, options: argparse.Namespace, system: System | None = None) -> None:
        self._exp_dir: Path = options.exp_dir
        self.model, self.info = load_decoding_model(options)
        restored = restore_supernet(self.model, self.info.checkpoint)
        self.one_shot = restored is None
        if system is not None and not self.one_shot:
            raise RecipeError(
                f"{self.info.checkpoint} has a supernet of its own; leave out --system "
                f"{system.name}"
            )
        self.settings, self.supernet = restored or (None, None)
        trained = read_system(options.exp_dir)
        if self.one_shot and "level" in trained:
            deep = "match_depth" in trained
            units = len(self.model.encoder.residual_units())
            self.info.subnet = size_name(units) if deep else f"{trained['level']:.2f}"
        if system is not None:
            self.settings = system.one_shot or system.sparsity
            if self.settings is None:
                raise RecipeError(f"system {system.name} says nothing of how to prune")
            self.supernet = make_supernet(self.model, self.settings)

    def levels(self) -> list[float]:
        """What the settings validate, with the extremes; only the model itself without any."""
        if self.settings is None:
            return [0.0]
        if not self.one_shot and self.settings.grow_from >= 1:
            return [self.settings.max_sparsity]  # no other size was trained
        return self.settings.sizes()

    def make(self, level: float | str) -> tuple[Transducer, DecodingInfo]:
        """The sub-network of a global level, or one that a search has named, such as ``front/3``.

        Level 0, or ``dense``, is the dense model itself.

        Raises:
          RecipeError: The level is outside [0, 1), there is no such name, or nothing to prune by.
        """
        if level in (0, DENSE):
            # A copy, since whoever decodes it may move it to another device.
            return copy.deepcopy(self.model), self.info
        if self.supernet is None:
            raise RecipeError(
                f"{self.info.checkpoint} holds no supernet; say how to prune it, such as by "
                "--system conf/systems/one_shot.yaml"
            )
        if not self.one_shot and not isinstance(level, str):
            self._warn_beyond(level)
        try:
            subnet = self._named(level) if isinstance(level, str) else self.supernet.subnet(level)
            model = self._make(subnet)
        except OmniError as e:
            raise RecipeError(f"level {level}: {e}") from e
        tail = f"_{level.replace('/', '-')}" if level == subnet.name else f"_sparsity-{subnet.name}"
        if self.one_shot:
            tail = f"_{self.pruned_by}-{self.supernet.pattern.name.replace(':', 'of')}{tail}"
        info = dataclasses.replace(self.info, subnet=subnet.name, tail=self.info.tail + tail)
        info.measure(model)
        return model, info

    def _warn_beyond(self, level: float) -> None:
        trained = max(self.settings.max_sparsity, self.settings.max_layer_sparsity)
        if level > trained:
            logging.warning(
                f"sparsity {level:g} is beyond what {self.info.checkpoint} was trained for, "
                f"{trained:g}: expect no good of it"
            )

    def _make(self, subnet: SubNet) -> Transducer:
        """A copy of the model that is a sub-network; may raise OmniError."""
        return self.supernet.baked_model(subnet)

    def _named(self, name: str) -> SubNet:
        from omni_emformer.supernet.fronts import find_point  # needs optuna

        point = find_point(self._exp_dir, name, self.info.weights)
        return self.supernet.subnet([point.levels[x] for x in self.supernet.layer_names], name)

    def coverage(self) -> dict | None:
        """What can be pruned, as plain types; None where nothing is."""
        if self.supernet is None:
            return None
        return {
            "pattern": self.supernet.pattern.name,
            "num_weights": len(self.supernet.layer_names),
            "num_params": sum(self.supernet.layer_sizes),
        }
