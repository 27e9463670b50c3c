# SPDX-License-Identifier: Apache-2.0
"""What stands in for a recipe's ``compute_loss``, whatever the sub-networks are."""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from omni_plugin.errors import OmniError

#: A recipe's ``compute_loss`` of a batch, without its arguments.
Compute = Callable[[], tuple[Tensor, Any]]


class Session(ABC):
    """One process' training of a recipe's model as a supernet.

    Args:
      model: The dense model, before DDP.
      params: The recipe's, with the ``omni_*`` options. The state is kept up to date in its item
        ``omni``, which the recipe saves with all others.

    Raises:
      OmniError: The options are impossible, for themselves or for the model.
    """

    def __init__(self, model: nn.Module, params: Mapping[str, Any]) -> None:
        self.model = model
        # Not known before there is data, unless it is said.
        self.total_updates: int = params["omni_total_updates"]
        self.first_update = 0  # updates that the model was trained for without the plugin
        self._scaler: Any = None

    # Where a run begins or goes on.

    def load(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on from a recipe's checkpoint; the model's weights are loaded already.

        Raises:
          OmniError: It belongs to other settings.
        """
        if "omni" not in checkpoint:
            self.first_update = checkpoint["batch_idx_train"]
            logging.info("omni_plugin: a dense checkpoint, whose model now becomes a supernet")
            return
        state = checkpoint["omni"]
        self._load_state(state)
        self.first_update = state["first_update"]
        self.total_updates = self.total_updates or state["total_updates"]

    def start_epoch(self, params: Mapping[str, Any], train_dl: Iterable, scaler: Any) -> None:
        """Call before each epoch; until the first call, ``compute_loss`` runs the dense model.

        Raises:
          OmniError: It is not known, and cannot be counted, how long the run is.
        """
        self._scaler = scaler
        if not self.total_updates and params.get("start_batch", 0) > 0:
            raise OmniError(
                "--start-batch with a dense checkpoint: the run's updates cannot be counted in the "
                "middle of an epoch; give --omni-total-updates"
            )
        if not self.total_updates:
            epochs = params["num_epochs"] - params["start_epoch"] + 1
            self.total_updates = epochs * count_batches(train_dl)
            logging.info("omni_plugin: a run of %d updates", self.total_updates)
        self._start(self.total_updates)

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors."""
        own = {"total_updates": self.total_updates, "first_update": self.first_update}
        return {**self._state(), **own}

    # A batch.

    def compute_loss(
        self, compute: Compute, params: dict[str, Any], is_training: bool
    ) -> tuple[Tensor, Any]:
        """Loss and metrics of a batch, as the recipe's ``compute_loss`` gives them.

        In training, all passes of the update but the last one have run backward when it returns.
        The recipe's look for memory errors before the first epoch runs the dense model.
        """
        if self._scaler is None:
            return compute()
        if not is_training:
            with torch.no_grad():
                return self._validate(compute)
        update = params["batch_idx_train"] - 1 - self.first_update
        loss, info = self._train(update, compute)
        params["omni"] = self.state_dict()
        return loss, info

    def _backward(self, loss: Tensor) -> None:
        # The recipe calls compute_loss under autocast, but backward outside of it.
        with torch.autocast(loss.device.type, enabled=False):
            self._scaler.scale(loss).backward()
        torch.clear_autocast_cache()  # casts of biases, whose graph is freed

    @abstractmethod
    def _train(self, update: int, compute: Compute) -> tuple[Tensor, Any]:
        """Loss of the last pass of an update, backward of the others being done, and metrics.

        The keys of the metrics must be the same in all updates and on all ranks.
        """

    @abstractmethod
    def _validate(self, compute: Compute) -> tuple[Tensor, Any]:
        """Loss and metrics of the whole network, and losses of others beside them."""

    @abstractmethod
    def _start(self, total_updates: int) -> None:
        """The length of the run is known."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """What a run needs to go on."""

    @abstractmethod
    def _load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`_state` gave."""


def count_batches(train_dl: Any) -> int:
    """Batches of an epoch, the same number on all ranks.

    lhotse's samplers have no length; one is run through, as icefall's look for memory errors does.
    """
    try:
        count = len(train_dl)
    except TypeError:
        numbers = RandomState(torch.device("cpu"))
        count = sum(1 for _ in train_dl.sampler)
        numbers.restore()
    counts = [count]
    if dist.is_initialized():
        dist.broadcast_object_list(counts, src=0)
    return counts[0]


class RandomState:
    """The random numbers that a model may draw from: Python's, torch's, and the device's."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._state = random.getstate(), torch.get_rng_state()
        if device.type == "cuda":
            self._cuda = torch.cuda.get_rng_state(device)

    @classmethod
    def of(cls, model: nn.Module) -> RandomState:
        """Where a model is."""
        return cls(next(model.parameters()).device)

    def restore(self) -> None:
        random.setstate(self._state[0])
        torch.set_rng_state(self._state[1])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self._cuda, self.device)
