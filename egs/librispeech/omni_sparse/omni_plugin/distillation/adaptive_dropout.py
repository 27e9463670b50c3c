# SPDX-License-Identifier: Apache-2.0
"""Less dropout for sparser sub-networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from omni_plugin.errors import OmniError
from omni_plugin.patterns import check_sparsity


class AdaptiveDropout:
    """Scales every dropout of a model by a sub-network's density: ``p_sub = p * (1 - sparsity)``.

    A smaller network overfits less. Shangguan et al., "TODM: train once deploy many", 2023, scale
    dropout with the share of a layer's width that is kept; here it is the share of its weights.

    Meant are torch's dropout modules, and modules that keep a probability as a number under one of
    ``names`` and pass it on themselves, as torch's and torchaudio's attention do. Modules in
    evaluation mode are never touched, and outside of :meth:`scaled` none is.

    Args:
      model: Any module. Its dropouts are found once, here; their probabilities are read anew each
        time, so a schedule may change them.
      names: Attributes of other modules that hold a probability.

    >>> dropout = AdaptiveDropout(model := nn.Dropout(0.2))
    >>> with dropout.scaled(0.75):
    ...     model.p
    0.05
    >>> model.p
    0.2
    """

    def __init__(self, model: nn.Module, names: Sequence[str] = ("dropout",)) -> None:
        self._places = [
            (f"{prefix}.{attribute}" if prefix else attribute, module, attribute)
            for prefix, module in model.named_modules()
            for attribute in (("p",) if isinstance(module, _DropoutNd) else names)
            if _is_number(getattr(module, attribute, None))
        ]
        self._open = False

    @property
    def places(self) -> list[str]:
        """Names of the attributes that are scaled, such as ``layers.0.dropout.p``."""
        return [name for name, _, _ in self._places]

    def scaled(self, sparsity: float) -> AbstractContextManager[None]:
        """Within it, the dropouts are those of a sub-network.

        Forward must run within it, backward need not, except where activation checkpointing runs
        forward again.

        Args:
          sparsity: Share of zeros of the sub-network, in [0, 1).

        Raises:
          OmniError: The sparsity is outside of [0, 1), or another ``scaled`` is open.
        """
        # A density above 0 turns no dropout off, so code that asks whether there is any sees what
        # it saw before.
        return self._times(1 - check_sparsity(sparsity, "sparsity of adaptive dropout"))

    def off(self) -> AbstractContextManager[None]:
        """Within it there is no dropout, such as for a teacher; raises as :meth:`scaled`."""
        return self._times(0.0)

    @contextmanager
    def _times(self, factor: float) -> Iterator[None]:
        if self._open:
            raise OmniError("dropout is scaled already; close the first scaled() before the second")
        own = [(m, name, getattr(m, name)) for _, m, name in self._places if m.training]
        self._open = True
        try:
            for module, attribute, p in own:
                setattr(module, attribute, p * factor)
            yield
        finally:
            for module, attribute, p in own:
                setattr(module, attribute, p)
            self._open = False


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
