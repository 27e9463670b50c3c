# SPDX-License-Identifier: Apache-2.0
"""Writes a sub-network as a checkpoint with plain weights, for a recipe's own scripts."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.icefall.recipe import add_to_path
from omni_plugin.icefall.source import Source, averaged, load
from omni_plugin.icefall.zipformer_layers import without_layers
from omni_plugin.layer_selection import FULL, LayerSelectionSettings, Selection
from omni_plugin.layer_selection.training import size_name
from omni_plugin.patterns import make_pattern
from omni_plugin.settings import SparsitySettings
from omni_plugin.supernet import SubNet
from omni_plugin.supernet.coverage import CoveredWeight
from omni_plugin.supernet.masked_weight import MaskedWeight
from omni_plugin.supernet.subnet import parse_choice

#: What decode.py is told to load: ``--epoch 99 --avg 1 --use-averaged-model 0``.
EPOCH = 99
BAKED, NOTE = f"epoch-{EPOCH}.pt", "baked.json"


def _digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


class Baker(ABC):
    """Sub-networks of averaged weights.

    Args:
      source: Which checkpoints.
      params: The last of them.
    """

    def __init__(self, source: Source, params: dict[str, Any]) -> None:
        self.source, self.params, self.state = source, params, params["omni"]
        #: What the weights are made of and how: the same wherever the files lie, and whenever
        #: they were written.
        self.made_of = {"source": source.name, "files": [_digest(p) for p in source.files()]}

    @abstractmethod
    def subnet(self, choice: Any) -> Any:
        """A sub-network by what names it; a dataclass with a ``name``."""

    @abstractmethod
    def weights(self, subnet: Any) -> dict[str, Tensor]:
        """A sub-network's state dict under the recipe's own names."""

    def params_of(self, subnet: Any) -> dict[str, Any]:
        """The recipe's params, architecture among them, that fit a sub-network."""
        return self.params

    @functools.cached_property
    def dense(self) -> dict[str, Tensor]:
        return averaged(self.source, self.params)

    def write(self, subnet: Any, folder: Path) -> Path:
        """Write ``epoch-99.pt`` unless it is there already, of the same checkpoints and subnet.

        Raises:
          OmniError: The folder has one that was not baked.
        """
        path, note = folder / BAKED, folder / NOTE
        said = json.loads(json.dumps({**self.made_of, "subnet": asdict(subnet)}))
        if path.exists() and not note.exists():
            raise OmniError(f"{path} exists and was not baked here; choose another folder")
        if path.exists() and json.loads(note.read_text()) == said:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        part = folder / f"{BAKED}.part"
        torch.save({"model": self.weights(subnet)}, part)
        note.write_text(json.dumps(said))
        os.replace(part, path)
        return path


class SparsityBaker(Baker):
    """Sub-networks of levels.

    Masks come from the rankings that the sub-networks were trained with, which are in the
    checkpoint, and only then are zeros written: averages of masked weights would have other zeros.
    """

    def __init__(self, source: Source, params: dict[str, Any]) -> None:
        super().__init__(source, params)
        self.settings = SparsitySettings.from_dict(self.state["settings"])
        self.pattern = make_pattern(self.settings.pattern, self.settings.score)

    def subnet(self, choice: Any) -> SubNet:
        """As :meth:`omni_plugin.SuperNet.subnet`."""
        names = list(self.state["ranks"])
        found = parse_choice(choice, names, self.settings.max_sparsity)
        if len(found.levels) != len(names):
            raise OmniError(f"{len(found.levels)} levels for {len(names)} weights")
        for name, level in zip(names, found.levels, strict=True):
            self.pattern.check_level(level, name)
        trained = max(self.settings.max_sparsity, self.settings.max_layer_sparsity)
        if max(found.levels) > trained:
            logging.warning(
                "sparsity %g is beyond what was trained, %g: expect no good of it",
                max(found.levels),
                trained,
            )
        return found

    def weights(self, subnet: SubNet) -> dict[str, Tensor]:
        weights = dict(self.dense)
        for (name, ranks), level in zip(self.state["ranks"].items(), subnet.levels, strict=True):
            covered = CoveredWeight(name, nn.Parameter(weights[name]))
            layer = MaskedWeight(covered, self.pattern)
            layer.set_ranks(ranks)
            weights[name] = torch.where(layer.mask(level).bool(), weights[name], 0.0)
        return weights


class LayerBaker(Baker):
    """Sub-networks of sizes: Zipformers with fewer layers."""

    def subnet(self, choice: Any) -> Selection:
        """A size, such as ``units-4``, or ``full``.

        Raises:
          OmniError: There is no such size.
        """
        layers = self.state["layers"]
        settings = LayerSelectionSettings.from_dict(layers["settings"])
        number = len(layers["units"])
        sizes = {size_name(count): count for count in settings.counts(number)}
        if choice != FULL and choice not in sizes:
            raise OmniError(f"no size is called {choice!r}; known: {FULL}, {', '.join(sizes)}")
        order = layers["order"].tolist()
        if choice != FULL and not order:
            raise OmniError("the selection of layers had not ended; bake a later checkpoint")
        removed = order[: number - sizes.get(choice, number)]
        return Selection(choice, tuple(unit not in removed for unit in range(number)))

    def _without(self, subnet: Selection) -> tuple[dict[str, Tensor], str]:
        pairs = zip(self.state["layers"]["units"], subnet.keep, strict=True)
        removed = [unit for unit, kept in pairs if not kept]
        return without_layers(self.dense, removed, self.params["num_encoder_layers"])

    def weights(self, subnet: Selection) -> dict[str, Tensor]:
        return self._without(subnet)[0]

    def params_of(self, subnet: Selection) -> dict[str, Any]:
        return {**self.params, "num_encoder_layers": self._without(subnet)[1]}


def make_baker(recipe: Path, source: Source) -> Baker:
    """A baker by what the checkpoints are of.

    Args:
      recipe: Its folder, from which icefall is found.
      source: Which checkpoints.

    Raises:
      OmniError: One is missing or no supernet's.
    """
    add_to_path(recipe)
    params = load(source.files()[-1])
    kind = LayerBaker if "layers" in params["omni"] else SparsityBaker
    return kind(source, params)
