# SPDX-License-Identifier: Apache-2.0
"""The seam between the trainer and what is trained.

The trainer asks a method four things: wrap the model (and name parameters that this adds), name
the passes of a step, give the loss of one pass, and save or restore the method's state. The dense
baseline answers them here; anything that trains several networks in one (a supernet) subclasses
:class:`TrainingMethod`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from emformer.config import TrainingConfig
from emformer.errors import RecipeError
from emformer.training.loss import Batch, Info, transducer_loss


class TrainingMethod:
    """Dense training: one pass a step over the whole model.

    Args:
      config: Training settings.
      total_updates: Updates of the whole run, for schedules.

    Attributes:
      trains_all: Whether each pass has a gradient for every weight, which DDP can then rely on.
    """

    trains_all = True

    def __init__(self, config: TrainingConfig, total_updates: int) -> None:
        self.config = config
        self.total_updates = total_updates

    def wrap(self, model: nn.Module) -> nn.Module:
        """The module that is trained; called once, before it is put under DDP."""
        return model

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of AdamW for parameters that :meth:`wrap` added beside the model's.

        They are not clipped, averaged or saved with the model's; ``base_lr`` is a group's own.
        """
        return []

    def passes(self, update: int) -> Sequence[Any]:
        """The forward-backward passes of an update (counted from 0), in order.

        Each pass gets its own backward, so only one graph is alive at a time.
        """
        return (None,)

    def cost(self, which: Any) -> float:
        """How much of a pass of the whole model over the whole batch a pass is."""
        return 1.0

    def loss(self, model: nn.Module, batch: Batch, which: Any, update: int) -> tuple[Tensor, Info]:
        """Loss of one pass, and sums to log.

        Args:
          model: What :meth:`wrap` returned, perhaps under DDP.
          batch: The batch, augmented once for all passes of the update.
          which: One of :meth:`passes`.
          update: Number of the update, from 0.

        Returns:
          A scalar to call ``backward`` on, and values summed over the batch's frames by name.
        """
        return transducer_loss(model, batch, self.config, update, self.total_updates)

    def stepped(self) -> None:
        """Called after each step of the optimizer."""

    def validation_passes(self) -> dict[str, Any]:
        """Passes to validate, by the name under which tensorboard shows them."""
        return {"": None}

    def state_dict(self) -> dict[str, Any]:
        """State of the method, of plain types and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
          RecipeError: It is of another method.
        """
        if state:
            raise RecipeError("the checkpoint is of another training method; use another --exp-dir")
