# SPDX-License-Identifier: Apache-2.0
"""A layer selection in training: the four calls a training loop makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.layer_selection.heads import attach_heads, start_heads
from omni_plugin.layer_selection.selectors import make_selector
from omni_plugin.layer_selection.settings import LayerSelectionSettings
from omni_plugin.layer_selection.supernet import LayerSupernet, Selection
from omni_plugin.layer_selection.units import Units, Zeros
from omni_plugin.sampling import generator

#: Name of the sub-network that has all units.
FULL = "full"


@dataclass(frozen=True)
class LayerPass:
    """One forward and backward of an update.

    Args:
      selection: What to run.
      weight: Of its loss in the update.
      gated: Whether the units' scores gate them.
      layer_drop: Whether units outside the smallest size are left out at random.
    """

    selection: Selection
    weight: float = 1.0
    gated: bool = False
    layer_drop: bool = False


class LayerTraining:
    """What a training loop needs of a layer selection.

    Until ``end`` of the run it trains the whole model and a gated one, whose scores learn which
    units each size can do without; from then on the sizes, with what they select fixed. All passes
    of an update are summed, each with its weight.

    1. ``layers = LayerTraining(model, units, settings, ...)``; run ``layers.supernet`` instead of
       the model, and give :meth:`parameter_groups` to the optimizer (AdamW);
    2. ``for one in layers.passes(update):`` names the passes of an update;
    3. ``with layers.running(one):`` run it, and call backward on its loss times ``one.weight`` plus
       ``layers.penalty(one)``;
    4. ``layers.state_dict()`` and ``load_state_dict()`` save and restore.

    Args:
      model: Any module that runs ``x + unit(x)``.
      units: Its residual units; see :func:`find_units`.
      settings: What is selected and when.
      total_updates: Updates of the whole run.
      seed: Of the draws.
      stand_in, batch_dim: See :class:`LayerSupernet`.

    Raises:
      OmniError: The settings do not fit the model.

    >>> model = nn.TransformerEncoder(
    ...     nn.TransformerEncoderLayer(4, 1, 8, batch_first=True), 4, enable_nested_tensor=False
    ... )
    >>> units = {f"{n}.ffn": (f"layers.{n}.linear1", f"layers.{n}.linear2") for n in range(4)}
    >>> layers = LayerTraining(model, units, LayerSelectionSettings(sizes=(2,)), total_updates=20)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> for group in layers.parameter_groups():
    ...     optimizer.add_param_group(group)
    >>> for update in range(20):
    ...     x = torch.randn(3, 5, 4)
    ...     optimizer.zero_grad(set_to_none=True)
    ...     for one in layers.passes(update):
    ...         with layers.running(one) as net:
    ...             loss = (net(x) - x).square().mean()
    ...         (one.weight * loss + layers.penalty(one)).backward()
    ...     optimizer.step()
    >>> small = layers.supernet.extract(layers.selection("units-2"))
    >>> small(x).shape, sum("linear1" in name for name, _ in small.named_parameters())
    (torch.Size([3, 5, 4]), 4)
    """

    def __init__(
        self,
        model: nn.Module,
        units: Units,
        settings: LayerSelectionSettings,
        total_updates: int,
        seed: int = 0,
        stand_in: Callable[[], nn.Module | None] = Zeros,
        batch_dim: int = 0,
    ) -> None:
        self.settings, self.total_updates, self.seed = settings, total_updates, seed
        self._counts = {size_name(count): count for count in settings.counts(len(units))}
        options = dict(settings.selector)
        name, smallest = options.pop("name"), min(self._counts.values())
        self.selector = make_selector(name, len(units), smallest, settings.remove, **options)
        init = self.selector.score_init
        self.supernet = LayerSupernet(model, units, init, stand_in, batch_dim)
        attach_heads(model, settings.heads, list(self._counts))
        self._iteration = -1  # of the selection; it has not begun
        # Units in the order in which smaller sizes do without them; from that update on, if any.
        self.order: list[int] = []
        self.settled_at: int | None = None

    # Sub-networks.

    @property
    def sizes(self) -> list[str]:
        """Names of all sub-networks, the whole model first."""
        return [FULL, *reversed(self._counts)]

    @property
    def trained_sizes(self) -> list[str]:
        """Those that some update has trained by now; heads of the others mean nothing yet."""
        if self.settled_at is not None:
            return self.sizes
        return [FULL] if self._iteration < 0 else [FULL, self.sizes[-1]]

    def selection(self, size: str) -> Selection:
        """The sub-network of a size, as the selection stands.

        Raises:
          OmniError: There is no such size.
        """
        number = len(self.supernet.units)
        if size == FULL:
            return Selection(FULL, (True,) * number)
        if size not in self._counts:
            raise OmniError(f"no size is called {size!r}; known: {', '.join(self.sizes)}")
        order = self.order or self.selector.ranking(self.supernet.scores)
        removed = order[: number - self._counts[size]]
        return Selection(size, tuple(unit not in removed for unit in range(number)))

    # An update.

    @torch.no_grad()
    def passes(self, update: int) -> tuple[LayerPass, ...]:
        """Passes of an update, counted from 0; settles what is selected where that is due."""
        full = LayerPass(self.selection(FULL))
        # Never backwards, even where a run is prolonged.
        iteration = max(self._iteration_at(update), self._iteration)
        if iteration < 0:
            return (full,)
        if self._iteration < 0:
            # Copies of what the whole model has learnt by now.
            start_heads(self.supernet.model, self.sizes[-1])
            self._iteration = 0
        while self._iteration < iteration:
            self.selector.close(self.supernet.scores, self._iteration)
            self._iteration += 1
        if iteration < self.selector.iterations:
            whole = Selection(self.sizes[-1], full.selection.keep)
            return (full, LayerPass(whole, self.settings.subnet_weight, gated=True))
        if self.settled_at is None:
            self.order = self.selector.ranking(self.supernet.scores)
            self.settled_at = update
            for size in self.sizes[1:-1]:
                start_heads(self.supernet.model, size)
        return self._joint_passes(update)

    def _iteration_at(self, update: int) -> int:
        """Of the selection; -1 before it begins, and the number of iterations once it is over."""
        start, end = self.settings.start, self.settings.end
        done = update / max(1, self.total_updates)
        if done < start:
            return -1
        if done >= end:
            return self.selector.iterations
        return int((done - start) / (end - start) * self.selector.iterations)

    def _joint_passes(self, update: int) -> tuple[LayerPass, ...]:
        """All sizes, or by the sandwich rule where there are more than three."""
        _, *middle, smallest = self.sizes
        if len(middle) > 1:
            middle = [generator(self.seed, update, "size").choice(middle)]
        weight = self.settings.subnet_weight
        return (
            LayerPass(self.selection(FULL), layer_drop=self.settings.layer_drop > 0),
            *(LayerPass(self.selection(size), weight) for size in (smallest, *middle)),
        )

    @contextmanager
    def running(self, one: LayerPass | Selection) -> Iterator[LayerSupernet]:
        """Within it the supernet is a sub-network. Backward may run within or afterwards."""
        if isinstance(one, Selection):
            one = LayerPass(one)
        with ExitStack() as stack:
            if one.gated:
                gates = self.selector.gates(self.supernet.scores, self._iteration)
                stack.enter_context(self.supernet.gated(gates))
            if one.layer_drop:
                may = [not kept for kept in self.selection(self.sizes[-1]).keep]
                stack.enter_context(self.supernet.dropped(self.settings.layer_drop, may))
            stack.enter_context(self.supernet.running(one.selection))
            yield self.supernet

    def penalty(self, one: LayerPass) -> Tensor | float:
        """What the loss of a pass gets beside the model's."""
        if not one.gated:
            return 0.0
        return self.selector.penalty(self.supernet.scores, self._iteration)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The scores, for AdamW: no decay, and an epsilon that the smallest gradients exceed.

        ``base_lr`` is the peak of their learning rate. They are no parameters of the model, so
        clipping the model's gradients leaves theirs.
        """
        rate = self.settings.score_lr
        scores = [self.supernet.scores]
        return [{"params": scores, "lr": rate, "base_lr": rate, "eps": 1e-16, "weight_decay": 0.0}]

    # Saving.

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors. ``order`` is of whole numbers, and never to be averaged."""
        return {
            "settings": self.settings.to_dict(),
            "units": self.supernet.unit_names,
            "scores": self.supernet.scores.detach(),
            "removed": list(self.selector.removed),
            "iteration": self._iteration,
            "order": torch.tensor(self.order, dtype=torch.int64),
            "settled_at": self.settled_at,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
          OmniError: It belongs to other settings or units; names the first that differs.
        """
        now = {**self.settings.to_dict(), "units": self.supernet.unit_names}
        for name, value in now.items():
            was = {**state["settings"], "units": state["units"]}.get(name)
            if was != value:
                raise OmniError(
                    f"layers.{name} was {was} and is now {value}; use another experiment folder"
                )
        with torch.no_grad():
            self.supernet.scores.copy_(state["scores"])
        self.selector.removed = list(state["removed"])
        self._iteration = state["iteration"]
        self.order, self.settled_at = state["order"].tolist(), state["settled_at"]


def size_name(count: int) -> str:
    """Of the sub-network with so many units."""
    return f"units-{count}"
