# SPDX-License-Identifier: Apache-2.0
"""The wrapper that makes sub-networks of a model by masks on its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.patterns import Pattern, check_sparsity, make_pattern
from omni_plugin.supernet.coverage import coverage_report, find_weights
from omni_plugin.supernet.made_at_once import made_at_once
from omni_plugin.supernet.masked_weight import MaskedWeight
from omni_plugin.supernet.no_copies import no_copies
from omni_plugin.supernet.on_demand import made_on_demand, made_when_read
from omni_plugin.supernet.subnet import Choice, SubNet, parse_choice


class SuperNet(nn.Module):
    """A model and its sub-networks, which share one set of dense weights.

    The model is not changed: its parameters stay the same objects under the same names, and its
    state dict has nothing extra. Only while :meth:`masked` is open (``forward`` opens it) do the
    modules that own a covered weight see ``weight * mask`` in its place, by an attribute that hides
    the registered parameter. So a module that reads ``self.weight`` directly is served as well as
    one that calls ``forward``, and the gradient of a pruned entry is zero.

    Backward may run after :meth:`masked` has closed. Activation checkpointing, which runs forward
    again in backward, must happen within it.

    Args:
      model: Any module.
      pattern: A :class:`Pattern` or its name, see :func:`make_pattern`.
      include, exclude: Rules of coverage, see :func:`find_weights`.
      max_sparsity: Level of the sub-network ``sparsest``.

    Raises:
      OmniError: The rules cover nothing, or a weight does not fit the pattern.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8))
    >>> supernet = SuperNet(model, pattern="8x1")
    >>> supernet.set_active_subnet(0.5)
    >>> supernet(torch.zeros(1, 4)).shape
    torch.Size([1, 8])
    >>> [int((w == 0).sum()) for n, w in supernet.bake(0.5).items() if n.endswith("weight")]
    [16, 32]
    """

    def __init__(
        self,
        model: nn.Module,
        pattern: Pattern | str = "8x1",
        include: Sequence[str] = (r".*",),
        exclude: Sequence[str] = (),
        max_sparsity: float = 0.9,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise OmniError(f"model is {model!r:.60}; it must be a torch module")
        self.model = model
        self.pattern = pattern if isinstance(pattern, Pattern) else make_pattern(pattern)
        self.max_sparsity = check_sparsity(max_sparsity, "max_sparsity")
        weights = find_weights(model, self.pattern, include, exclude)
        self._layers = [MaskedWeight(weight, self.pattern) for weight in weights]
        self._active = self.subnet("dense")
        self._open = False  # masked()
        self.times_opened = 0  # masked()

    # What is covered.

    @property
    def layer_names(self) -> list[str]:
        """Names of the covered weights, in the order of a sub-network's levels."""
        return [layer.weight.name for layer in self._layers]

    @property
    def layer_sizes(self) -> list[int]:
        """Weights that can be pruned in each covered weight."""
        sizes = []
        for layer in self._layers:
            g, h = self.pattern.grid(layer.weight.shape)
            sizes.append(g * h * self.pattern.block_size)
        return sizes

    def coverage(self) -> str:
        """What is covered, to read."""
        return coverage_report(self.model, [x.weight for x in self._layers], self.pattern)[0]

    def covered_share(self) -> float:
        """Share of the model's parameters that can be pruned."""
        return coverage_report(self.model, [x.weight for x in self._layers], self.pattern)[1]

    # Choosing a sub-network.

    def subnet(self, choice: Choice, name: str = "") -> SubNet:
        """A sub-network by what names it.

        Args:
          choice: ``"dense"``, ``"sparsest"``, a level for all weights (0.7 or ``"0.7"``), a level
            for each weight, or levels by regular expressions on names (the last that is found in
            a name counts; weights that none finds stay dense).
          name: Instead of the name made from the choice.

        Raises:
          OmniError: A level is outside [0, 1) or the pattern, the number of levels is wrong, or a
            rule finds no weight.
        """
        found = parse_choice(choice, self.layer_names, self.max_sparsity)
        if len(found.levels) != len(self._layers):
            raise OmniError(
                f"{len(found.levels)} levels for {len(self._layers)} covered weights "
                f"({self._layers[0].weight.name}, ...); give one for each"
            )
        for layer, level in zip(self._layers, found.levels, strict=True):
            self.pattern.check_level(level, layer.weight.name)
        levels = tuple(float(level) for level in found.levels)
        return SubNet(levels, name or found.name)

    def set_active_subnet(self, choice: Choice) -> None:
        """Switch to a sub-network.

        Raises:
          OmniError: As :meth:`subnet`, or :meth:`masked` is open.
        """
        self._check_closed("switched")
        self._active = self.subnet(choice)
        for layer, level in zip(self._layers, self._active.levels, strict=True):
            layer.set_level(level)

    def get_active_subnet(self) -> SubNet:
        return self._active

    def sparsity(self, choice: Choice | None = None) -> float:
        """Share of zeros over all that can be pruned; of the active sub-network by default."""
        return self.num_zeros(choice) / sum(self.layer_sizes)

    def num_zeros(self, choice: Choice | None = None) -> int:
        """Weights that a sub-network sets to zero."""
        subnet = self._active if choice is None else self.subnet(choice)
        return sum(
            self.pattern.num_zeros(layer.weight.shape, level)
            for layer, level in zip(self._layers, subnet.levels, strict=True)
        )

    # Running it.

    @contextmanager
    def masked(self) -> Iterator[nn.Module]:
        """Within it, the model is the active sub-network, whatever of its methods is called.

        Without gradients the masked weights are written once, when it opens: to run many chunks,
        keep it open. What happens to the dense weights meanwhile is not seen, and gradients that
        are switched on within it do not reach them. It may be nested.

        With gradients, and where there are gradients already, as in an update's second pass, they
        are made when they are read, and again in backward, and take no memory in between. On other
        devices than the CPU, where activations take far more, they are made when they are read.

        Raises:
          OmniError: A covered parameter was replaced by another object.
        """
        if self._open:
            yield self.model
            return
        for layer in self._layers:
            layer.weight.check_in_place()
        pruned = [layer for layer in self._layers if layer.level]
        self._open = True
        self.times_opened += 1
        try:
            made = self._way_to_make()
            with no_copies(m for x in pruned for m, _ in x.weight.places), made(pruned):
                yield self.model
        finally:
            self._open = False

    def _way_to_make(self) -> Callable[[Sequence[MaskedWeight]], AbstractContextManager[None]]:
        """How masked weights are made: see :meth:`masked`."""
        if not torch.is_grad_enabled():
            return made_at_once
        if self._layers[0].parameter.device.type != "cpu":
            return made_when_read
        # Time is spent to keep no masked weights, for gradients take their room.
        has_gradients = any(x.parameter.grad is not None for x in self._layers)
        return made_on_demand if has_gradients else made_at_once

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's forward pass as the active sub-network.

        Raises:
          OmniError: As :meth:`masked`, or torch traces or exports it.
        """
        if torch.jit.is_tracing() or _is_exporting():
            raise OmniError("a supernet cannot be exported; export its baked_model(choice)")
        with self.masked():
            return self.model(*args, **kwargs)

    # Rankings.

    @torch.no_grad()
    def refresh_ranks(self) -> None:
        """Rank all blocks anew by the dense weights, so that pruned ones can come back."""
        for layer in self._layers:
            layer.refresh()

    @torch.no_grad()
    def shrink_pruned(self, choice: Choice, factor: float) -> None:
        """Multiply, in place, the dense weights that a sub-network prunes."""
        if type(factor) not in (int, float) or not 0 <= factor <= 1:
            raise OmniError(f"factor is {factor!r:.60}; it must lie in [0, 1]")
        masks = self.mask(choice)
        for layer in self._layers:
            mask = masks[layer.weight.name]
            layer.parameter.mul_(mask + factor * (1 - mask))

    def ranks(self) -> dict[str, Tensor]:
        """Rankings by name of the weight: the supernet's only state beside the dense weights."""
        return {layer.weight.name: layer.ranks for layer in self._layers}

    def set_ranks(self, ranks: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`ranks` gave.

        Raises:
          OmniError: They belong to another coverage or pattern.
        """
        for name in [*self.layer_names, *ranks]:
            if name not in ranks or name not in self.layer_names:
                where = "lack" if name not in ranks else "have an unknown"
                raise OmniError(
                    f"rankings of another coverage: they {where} weight {name}; "
                    "use the rules (include, exclude) of that run"
                )
        for layer in self._layers:
            new, shape = ranks[layer.weight.name], layer.weight.shape
            if not isinstance(new, Tensor):
                raise OmniError(f"{layer.weight.name}: rankings are tensors, not {new!r:.60}")
            if (
                new.shape != layer.ranks.shape
                or new.dtype != layer.ranks.dtype
                # N:M and 1x1 look alike, but one's rankings do not prune right in the other.
                or int((~self.pattern.keep(new, 0.25)).sum())
                != self.pattern.num_pruned_blocks(shape, 0.25)
            ):
                raise OmniError(
                    f"{layer.weight.name}: rankings of shape {tuple(new.shape)}, {new.dtype}, do "
                    f"not belong to pattern {self.pattern.name}; use the pattern of that run"
                )
        for layer in self._layers:
            layer.set_ranks(ranks[layer.weight.name].clone())

    # A sub-network of its own.

    @torch.no_grad()
    def mask(self, choice: Choice | None = None) -> dict[str, Tensor]:
        """Masks of the weights' shapes by name, 1 for what a sub-network keeps."""
        subnet = self._active if choice is None else self.subnet(choice)
        return {
            layer.weight.name: layer.mask(level)
            for layer, level in zip(self._layers, subnet.levels, strict=True)
        }

    @torch.no_grad()
    def bake(self, choice: Choice | None = None) -> dict[str, Tensor]:
        """The model's state dict with a sub-network's zeros in it, under the original names.

        A copy: the dense weights stay. Running the model with these weights gives bit for bit what
        the masked supernet gives.
        """
        masks = self.mask(choice)
        names = {id(layer.parameter): layer.weight.name for layer in self._layers}
        baked = {}
        # keep_vars: the Parameter objects themselves, under every name that a shared one has.
        for name, value in self.model.state_dict(keep_vars=True).items():
            if id(value) in names:
                mask = masks[names[id(value)]]
                baked[name] = torch.where(mask.bool(), value, torch.zeros_like(value))
            else:  # what is no tensor is a module's extra state
                is_tensor = isinstance(value, Tensor)
                baked[name] = value.detach().clone() if is_tensor else copy.deepcopy(value)
        return baked

    def baked_model(self, choice: Choice | None = None) -> nn.Module:
        """A copy of the model that is a sub-network, with plain weights.

        Raises:
          OmniError: :meth:`masked` is open: the copy would keep the masked weights for good.
        """
        self._check_closed("copied")
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.bake(choice))
        return model

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles.

        Raises:
          OmniError: :meth:`masked` is open: a copy would keep the masked weights for good.
        """
        self._check_closed("copied")
        return self.__dict__

    def _check_closed(self, what: str) -> None:
        if self._open:
            raise OmniError(f"the supernet cannot be {what} while masked() is open; close it first")


def _is_exporting() -> bool:
    """Whether ``torch.export`` is at work, where torch has it."""
    compiler = getattr(torch, "compiler", None)
    # The compiler of torch 2.11 takes is_exporting() itself for true.
    flag = getattr(compiler, "_is_exporting_flag", None)
    if flag is not None:
        return flag
    return hasattr(compiler, "is_exporting") and compiler.is_exporting()
