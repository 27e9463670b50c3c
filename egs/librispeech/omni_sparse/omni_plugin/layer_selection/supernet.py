# SPDX-License-Identifier: Apache-2.0
"""The wrapper that makes sub-networks of a model by leaving out residual units."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.layer_selection.heads import ATTRIBUTE, heads_of
from omni_plugin.layer_selection.units import Units, Zeros, owner_of, swapped


@dataclass(frozen=True)
class Selection:
    """A sub-network.

    Args:
      name: How reports call it; a size of this name has heads of its own, if there are any.
      keep: Whether it has each unit, in the supernet's order.
    """

    name: str
    keep: tuple[bool, ...]


class LayerSupernet(nn.Module):
    """A model and its sub-networks of fewer residual units, which share one set of weights.

    Only while :meth:`running`, :meth:`gated` or :meth:`dropped` is open is the model another one.

    Args:
      model: Any module that runs ``x + unit(x)``.
      units: Its residual units; see :func:`find_units`.
      score_init: Score of each unit at the start.
      stand_in: Makes what stands where a unit was. None where the model looks at whether a unit is
        None, and then does not add anything.
      batch_dim: Of the units' outputs.

    Attributes:
      scores: A parameter of shape ``(L,)``. It is no weight of the model.

    Raises:
      OmniError: There is no unit, or the model has no module of that name.

    >>> model = nn.TransformerEncoderLayer(4, 1, 8, batch_first=True)
    >>> supernet = LayerSupernet(model, {"ffn": ("linear1", "linear2")})
    >>> sum(p.numel() for p in supernet.extract(Selection("none", (False,))).parameters())
    96
    """

    def __init__(
        self,
        model: nn.Module,
        units: Units,
        score_init: float = 0.0,
        stand_in: Callable[[], nn.Module | None] = Zeros,
        batch_dim: int = 0,
    ) -> None:
        super().__init__()
        if not units:
            raise OmniError("the model has no residual unit; name some")
        for modules in units.values():
            for name in modules:
                owner_of(model, name)
        self.model, self.units = model, dict(units)
        self.stand_in, self.batch_dim = stand_in, batch_dim
        weight = next(model.parameters())
        scores = torch.full((len(units),), float(score_init), device=weight.device)
        self.scores = nn.Parameter(scores)

    @property
    def unit_names(self) -> list[str]:
        """In the order of scores and selections."""
        return list(self.units)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's forward pass."""
        return self.model(*args, **kwargs)

    @contextmanager
    def running(self, selection: Selection) -> Iterator[nn.Module]:
        """Within it, the model is a sub-network: other units are not computed at all."""
        modules: dict[str, nn.Module | None] = dict(heads_of(self.model, selection.name))
        modules.update({name: self.stand_in() for name in self._left_out(selection)})
        with swapped(self.model, modules):
            yield self.model

    @contextmanager
    def gated(self, gates: Tensor) -> Iterator[None]:
        """Within it, what each unit adds is multiplied by its gate; gates are of shape ``(L,)``."""

        def scaled(gate: Tensor) -> Callable[[Tensor], Tensor]:
            # In float32, since the gate's gradient is a sum over all frames.
            return lambda branch: (branch.float() * gate).to(branch.dtype)

        with self._hooked([scaled(gate) for gate in gates]):
            yield

    @contextmanager
    def dropped(self, rate: float, where: Sequence[bool]) -> Iterator[None]:
        """Within it, some units are left out at random for each row of the batch.

        What is left is scaled by ``1 / (1 - rate)``. See Huang et al., "Deep networks with
        stochastic depth", ECCV 2016.

        Args:
          rate: Probability that a row does without a unit, in [0, 1).
          where: Whether a unit may be left out, in the supernet's order.
        """

        def drop(branch: Tensor) -> Tensor:
            shape = [1] * branch.dim()
            shape[self.batch_dim] = branch.size(self.batch_dim)
            kept = torch.rand(shape, device=branch.device) >= rate
            return branch * (kept / (1 - rate)).to(branch.dtype)

        with self._hooked([drop if may else None for may in where]):
            yield

    @contextmanager
    def _hooked(self, changes: Sequence[Callable[[Tensor], Tensor] | None]) -> Iterator[None]:
        with ExitStack() as stack:
            for (unit, modules), change in zip(self.units.items(), changes, strict=True):
                if change is not None:
                    module = self.model.get_submodule(modules[-1])
                    stack.enter_context(module.register_forward_hook(_hook(unit, change)))
            yield

    def _left_out(self, selection: Selection) -> list[str]:
        """Names of the modules that a sub-network lacks."""
        pairs = zip(self.units.values(), selection.keep, strict=True)
        return [name for modules, kept in pairs if not kept for name in modules]

    def share(self, selection: Selection) -> float:
        """Share of the model's parameters, without other sizes' heads, that a sub-network has."""
        total = _count(self.model) - _count(getattr(self.model, ATTRIBUTE, None))
        gone = sum(_count(self.model.get_submodule(name)) for name in self._left_out(selection))
        return 1 - gone / total

    def extract(self, selection: Selection, model: nn.Module | None = None) -> nn.Module:
        """A sub-network as a model of its own, without the weights of what it lacks.

        Its heads are the size's own ones, under the names of those of the whole model.

        Args:
          selection: Which one.
          model: The copy of the supernet's model that is cut; by default, a new one.
        """
        model = copy.deepcopy(self.model) if model is None else model
        modules = {**heads_of(model, selection.name)}
        modules.update({name: self.stand_in() for name in self._left_out(selection)})
        for name, module in modules.items():
            setattr(*owner_of(model, name), module)
        if hasattr(model, ATTRIBUTE):
            delattr(model, ATTRIBUTE)
        return model


def _count(module: nn.Module | None) -> int:
    return 0 if module is None else sum(p.numel() for p in module.parameters())


def _hook(unit: str, change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def hook(module: nn.Module, args: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise OmniError(
                f"unit {unit} ends in {type(module).__name__}, which gives a "
                f"{type(output).__name__}; its last module must give the tensor that is added"
            )
        return change(output)

    return hook
