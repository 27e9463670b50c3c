# SPDX-License-Identifier: Apache-2.0
"""Which weights of a recipe's model can be pruned, LSTM weights included, and how they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import nn

from omni_plugin.errors import OmniError
from omni_plugin.layer_selection.units import swapped
from omni_plugin.patterns import Pattern
from omni_plugin.supernet import SuperNet
from omni_plugin.supernet.coverage import is_matrix

#: Projections that only the training loss uses, so that no sub-network gains from them.
TRAINING_ONLY = ("simple_am_proj.", "simple_lm_proj.")


def kept_dense(model: nn.Module, pattern: Pattern) -> dict[str, str]:
    """Matrices of a recipe's model that are never pruned, with the reason for each.

    Besides ``nn.Embedding``, which a supernet leaves alone anyway; icefall's ``ScaledEmbedding`` is
    none of its subclasses.
    """
    reasons = {}
    for prefix, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            continue
        for attribute, parameter in module._parameters.items():
            name = f"{prefix}.{attribute}" if prefix else attribute
            if parameter is None or not is_matrix(parameter):
                continue
            if "Embedding" in type(module).__name__:
                reasons[name] = "embedding"
            elif any(part in f".{name}" for part in TRAINING_ONLY):
                reasons[name] = "used in training only"
            elif "bias" in attribute:  # of relative attention, of Zipformer's upsampling
                reasons[name] = "bias"
            else:
                try:
                    pattern.check(parameter.shape, name)
                except OmniError:
                    reasons[name] = f"no room for a block of {pattern.name}"
    return reasons


class Recurrent:
    """LSTM layers of a model, which read their weights from lists of their own.

    A :class:`SuperNet` refuses them, since it shows masked weights as attributes. So it is made
    while plain modules with the same parameters stand in their place, :meth:`hidden`, and what it
    shows on those is put into the lists while it runs, :meth:`shown`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._pairs: dict[str, tuple[nn.RNNBase, nn.Module]] = {}
        for name, module in model.named_modules():
            if isinstance(module, nn.RNNBase):
                holder = nn.Module()
                holder._parameters = module._parameters  # the same dictionary
                self._pairs[name] = (module, holder)

    def hidden(self) -> AbstractContextManager[None]:
        """Within it, a supernet can be made of the model."""
        return swapped(self.model, {name: holder for name, (_, holder) in self._pairs.items()})

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within it (and within ``supernet.masked()``) LSTMs run with masked weights."""
        were = []
        try:
            for module, holder in self._pairs.values():
                were.append((module, module._flat_weights))
                names = module._flat_weights_names
                module._flat_weights = [getattr(holder, name) for name in names]
            yield
        finally:
            for module, weights in were:
                module._flat_weights = weights


@contextmanager
def masked(supernet: SuperNet, recurrent: Recurrent) -> Iterator[None]:
    """Within it, the model is the active sub-network, LSTMs included."""
    with supernet.masked(), recurrent.shown():
        yield
