# SPDX-License-Identifier: Apache-2.0
"""The sub-networks of a trained layer selection, each a plain transducer of its own."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from emformer.decoding.model import DecodingInfo, load_decoding_model
from emformer.decoding.run import Loader
from emformer.errors import RecipeError
from emformer.model import Transducer
from emformer.scoring.results import DENSE
from omni_emformer.supernet.layer_model import make_layers
from omni_emformer.supernet.loader import supernet_of
from omni_emformer.supernet.subnets import Subnets
from omni_plugin import OmniError
from omni_plugin.layer_selection import FULL, LayerSelectionSettings


class LayerSubnets(Subnets):
    """Loads a model once and makes any of its sub-networks, by name.

    ``dense`` has all units, ``units-4`` four of them. Where the training had weight sparsity, too,
    ``0.50`` and ``units-4_0.50`` have that level.

    Args:
      options: Which checkpoint, as decoding's options.

    Attributes:
      layers: The selection; its model is the whole one, perhaps with heads of smaller sizes.
      info: Of the whole model.

    Raises:
      RecipeError: No such checkpoint, or it is of no layer selection, or of a time before its end.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._state: dict[str, Any] = {}
        self.model, self.info = load_decoding_model(options, self._prepare)
        self._check_average(options)
        self.one_shot, self.settings, self.supernet = False, None, None
        sparsities = [0.0]
        found = supernet_of(self.model, self._state["method"]["inner"], self.info.checkpoint)
        if found is not None:
            self.settings, self.supernet = found
            sparsities = self.settings.sizes()
        sizes = [DENSE, *self.layers.sizes[1:]]
        self._named = {subnet_name(size, x): (size, x) for size in sizes for x in sparsities}

    def _prepare(self, model: Transducer, state: dict[str, Any]) -> None:
        """Give a new model the heads that the checkpoint has."""
        self._state, method = state, state["method"]
        if "layers" not in method:
            raise RecipeError("the checkpoint is of no layer selection; decode it without sizes")
        try:
            settings = LayerSelectionSettings.from_dict(method["layers"]["settings"])
            self.layers = make_layers(model, settings)
            self.layers.load_state_dict(method["layers"])
        except OmniError as e:
            raise RecipeError(str(e)) from e
        if self.layers.settled_at is None:
            raise RecipeError(
                f"at update {state['update']} no size is selected yet; decode a later epoch"
            )

    def _check_average(self, options: argparse.Namespace) -> None:
        """Warn where weights are averaged that are older than the selection."""
        if options.iter is not None:
            return
        epoch = int(Path(self.info.checkpoint).stem.removeprefix("epoch-"))
        start = self._state["update"] * (epoch - options.avg) / epoch
        averaged = options.avg > 1 or options.use_averaged_model is not False
        if start < self.layers.settled_at and averaged:
            logging.warning(
                f"the average begins at update {start:.0f}, before the sizes were selected "
                f"({self.layers.settled_at}); lower --avg or use --use-averaged-model false"
            )

    def levels(self) -> list[str]:
        """Names of all sub-networks, the whole model first."""
        return list(self._named)

    def make(self, name: str | float) -> tuple[Transducer, DecodingInfo]:
        """The sub-network of a name, or one with all units by its sparsity.

        Raises:
          RecipeError: There is none of that name.
        """
        name = subnet_name(DENSE, name) if isinstance(name, float) else name
        if name not in self._named:
            known = ", ".join(self._named)
            raise RecipeError(f"{self.info.checkpoint} has no sub-network {name}; known: {known}")
        size, level = self._named[name]
        selection = self.layers.selection(FULL if size == DENSE else size)
        sparse = self.supernet.baked_model(level) if level else None
        model = self.layers.supernet.extract(selection, sparse)
        names = zip(self.layers.supernet.unit_names, selection.keep, strict=True)
        removed = (*model.config.removed_units, *(unit for unit, kept in names if not kept))
        model.config = replace(model.config, removed_units=removed)
        info = replace(
            self.info,
            config=replace(self.info.config, model=model.config),
            subnet=name,
            tail=self.info.tail + ("" if name == DENSE else f"_{name}"),
        )
        info.measure(model)
        return model, info


def subnet_name(size: str, level: float) -> str:
    """Of the sub-network of a size at a sparsity."""
    if not level:
        return size
    return f"{level:.2f}" if size == DENSE else f"{size}_{level:.2f}"


def layer_subnet_loader(name: str) -> Loader:
    """A loader for :func:`emformer.decode.main` which gives a sub-network by its name."""

    def load(args: argparse.Namespace) -> tuple[Transducer, DecodingInfo]:
        return LayerSubnets(args).make(name)

    return load
