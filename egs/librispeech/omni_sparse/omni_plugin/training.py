# SPDX-License-Identifier: Apache-2.0
"""A supernet in training: the four calls a training loop makes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from omni_plugin.distillation import AdaptiveDropout
from omni_plugin.errors import OmniError
from omni_plugin.patterns import make_pattern
from omni_plugin.sampling import Pass, make_sampler
from omni_plugin.settings import SparsitySettings
from omni_plugin.supernet import SubNet, SuperNet


def make_supernet(model: nn.Module, settings: SparsitySettings) -> SuperNet:
    """A supernet by its settings, ranked by the weights as they are.

    Raises:
      OmniError: The settings do not fit the model.
    """
    pattern = make_pattern(settings.pattern, settings.score)
    return SuperNet(model, pattern, settings.include, settings.exclude, settings.max_sparsity)


class OmniTraining:
    """What a training loop needs of a supernet.

    1. ``omni = OmniTraining(model, settings, ...)``; run ``omni.supernet`` instead of the model;
    2. ``for one in omni.passes(update):`` names the sub-networks of an update;
    3. ``with omni.running(one):`` run it, compute its loss, and call backward;
    4. ``omni.state_dict()`` and ``load_state_dict()`` save and restore.

    In a plain loop :meth:`backward` is 2 and 3 in one line.

    Args:
      model: Any module.
      settings: How the supernet is made and trained.
      total_updates: Updates of the whole run.
      seed: Of the draws.
      rank: This process among those of the run.

    Raises:
      OmniError: The settings are impossible, for themselves or for this model.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: SparsitySettings,
        total_updates: int,
        seed: int = 0,
        rank: int = 0,
    ) -> None:
        if not isinstance(settings, SparsitySettings):
            raise OmniError(f"settings are {settings!r:.60}; make them with SparsitySettings")
        if type(total_updates) is not int or total_updates < 0:
            raise OmniError(f"total_updates is {total_updates!r:.60}; it must be a whole number")
        self.settings, self.total_updates = settings, total_updates
        self._warned = False
        self.supernet = make_supernet(model, settings)
        options = dict(settings.sampler)
        name, space, schedule = options.pop("name"), settings.make_space(), settings.make_schedule()
        self.sampler = make_sampler(
            name, self.supernet, space, schedule, total_updates, seed, rank, **options
        )
        self.dropout = AdaptiveDropout(model)
        self.valid_subnets = {level: self.supernet.subnet(level) for level in settings.sizes()}

    def passes(self, update: int) -> tuple[Pass, ...]:
        """Sub-networks of an update (counted from 0); ranks the blocks anew where that is due."""
        done = update / max(1, self.total_updates)
        schedule = self.sampler.schedule
        if update % self.settings.refresh_every == 0 and done < self.settings.freeze_from:
            self.supernet.refresh_ranks()
            sparsest = schedule(done).sparsest
            if sparsest and not schedule.is_growing(done):
                self.supernet.shrink_pruned(sparsest, self.settings.shrink)
        return self.sampler.passes(update)

    @contextmanager
    def running(self, one: Pass | SubNet, dropout: bool = True) -> Iterator[SuperNet]:
        """Within it the supernet is a sub-network, with dropout to match, or without any.

        Backward may run within or afterwards.
        """
        subnet = one.subnet if isinstance(one, Pass) else one
        self.supernet.set_active_subnet(subnet)
        scale = self.supernet.sparsity() if self.settings.adaptive_dropout else 0.0
        before = self.supernet.times_opened
        with self.dropout.scaled(scale) if dropout else self.dropout.off():
            yield self.supernet
        if self.supernet.times_opened == before and not self._warned:
            self._warned = True
            warnings.warn(
                "the supernet was not run: what was run instead, such as the model itself, is not "
                "pruned; call omni.supernet, or the model within omni.supernet.masked()",
                stacklevel=3,
            )

    def backward(
        self,
        update: int,
        loss_of: Callable[[nn.Module, slice], Tensor],
        net: nn.Module | None = None,
        backward: Callable[[Tensor], Any] = Tensor.backward,
    ) -> Tensor:
        """All passes of an update, each with its own backward, in place of ``loss.backward()``.

        Args:
          update: Which, counted from 0.
          loss_of: Gives the loss, of shape ``()``, of a network on a part of the batch, such as
            ``lambda net, part: F.cross_entropy(net(x[part]), y[part])``. The part is a slice of
            the batch's items, all of them with most samplers.
          net: What to run; by default ``omni.supernet``, else what was made of it, such as its DDP.
            If it has a ``no_sync``, gradients are exchanged in the last pass only.
          backward: How a loss is run backward, such as
            ``lambda loss: scaler.scale(loss).backward()``.

        Returns:
          The losses' weighted sum, of shape ``()``, without gradient.

        Raises:
          OmniError: Sub-networks are to learn from the full one, which takes a loss that knows of
            both, or the loss is no scalar.
        """
        if self.settings.distillation is not None:
            raise OmniError(
                "distillation needs the outputs of two passes: loop over omni.passes(update), or "
                "leave sparsity.distillation out"
            )
        net = self.supernet if net is None else net
        passes = self.passes(update)
        total = torch.zeros(())
        for number, one in enumerate(passes, start=1):
            is_last = number == len(passes)
            quiet = nullcontext if is_last else getattr(net, "no_sync", nullcontext)
            with self.running(one), quiet():
                loss = loss_of(net, slice(one.part[0], None, one.part[1]))
                if not isinstance(loss, Tensor) or loss.dim():
                    raise OmniError(f"loss_of gave {loss!r:.60}; it must give a tensor of shape ()")
                loss = one.weight * loss
                backward(loss)
            total = total.to(loss.device) + loss.detach()
        return total

    def distils(self, update: int) -> bool:
        """Whether sub-networks of this update learn from the full network."""
        wanted = self.settings.distillation
        return wanted is not None and update >= wanted.start * self.total_updates

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors. Draws are functions of (seed, update) and need no state."""
        return {"settings": self.settings.to_dict(), "ranks": self.supernet.ranks()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
          OmniError: It belongs to other settings; names the first that differs.
        """
        if "settings" not in state:
            raise OmniError("the checkpoint is of no supernet; use another experiment folder")
        before = SparsitySettings.from_dict(state["settings"]).to_dict()
        for name, value in self.settings.to_dict().items():
            was = before[name]
            if was != value and name != "valid_levels":
                raise OmniError(
                    f"sparsity.{name} was {was} and is now {value}; use another experiment folder"
                )
        if "ranks" not in state:
            raise OmniError("the checkpoint has no rankings; use another experiment folder")
        self.supernet.set_ranks(state["ranks"])
