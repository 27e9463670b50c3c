# SPDX-License-Identifier: Apache-2.0
"""Supernet training in Lightning, by a callback: the LightningModule stays as it is.

``from omni_plugin.integrations.lightning import SupernetCallback`` asks for the package
``lightning`` or ``pytorch_lightning``; this module itself needs neither.
"""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from omni_plugin.errors import OmniError
from omni_plugin.sampling import Pass
from omni_plugin.settings import SparsitySettings
from omni_plugin.training import OmniTraining

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


class SupernetHooks:
    """Trains the sub-networks of an update, each by its own ``training_step`` and backward.

    Lightning runs the first of them. The others run when it has called backward: before the
    gradients are clipped and the optimizer steps, with its precision, DDP and accumulation. What
    ``training_step`` logs is of the first alone, which is the densest with ``sandwich``.

    Validation is of the full network. After training, ``callback.omni.supernet.bake(0.5)`` is a
    state dict of the LightningModule, half of whose covered weights are zero. Checkpoints hold
    the rankings, and training goes on from them by ``fit(..., ckpt_path=...)``.

    Args:
      settings: How the supernet is made and trained; their rules are of the LightningModule's
        parameter names.
      total_updates: Optimizer steps of the whole run; by default Lightning's own estimate.
      seed: Of the draws.

    Attributes:
      omni: The :class:`OmniTraining`; None before training begins.

    Raises:
      OmniError: When training begins: the settings do not fit the model, or ask for what a
        callback cannot do, which is parts of a batch, distillation, and manual optimization.
    """

    def __init__(
        self, settings: SparsitySettings, total_updates: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.settings, self.total_updates, self.seed = settings, total_updates, seed
        self.omni: OmniTraining | None = None
        self._loaded: dict[str, Any] = {}  # from a checkpoint, which is read before training begins
        self._passes: tuple[Pass, ...] = ()
        self._update = -1  # which they are of
        self._batch: tuple[Any, ...] = ()
        self._open = ExitStack()  # the first pass's masks, from the batch's start to its backward
        self._running_others = False

    # Lightning's hooks, in the order in which it calls them.

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        _check_possible(self.settings, pl_module)
        updates = self.total_updates
        if updates is None:
            updates = trainer.estimated_stepping_batches
            if not math.isfinite(updates):
                raise OmniError(
                    "Lightning knows no end of this training: give the callback total_updates"
                )
        rank = trainer.global_rank
        self.omni = OmniTraining(pl_module, self.settings, int(updates), self.seed, rank)
        _check_whole(self.omni.sampler.options.get("parts", 1))
        if self._loaded:
            self.omni.load_state_dict(self._loaded)
        self._update = -1

    def on_train_batch_start(
        self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step != self._update:  # else its gradients are still being gathered
            self._update = trainer.global_step
            self._passes = self.omni.passes(self._update)
            for one in self._passes:
                _check_whole(one.part[1])
        with_index = len(inspect.signature(pl_module.training_step).parameters) > 1
        self._batch = (batch, batch_idx) if with_index else (batch,)
        self._open.enter_context(self._running(self._passes[0]))

    def on_before_backward(self, trainer: Any, pl_module: nn.Module, loss: Tensor) -> None:
        if not self._running_others:
            # The very tensor of which Lightning calls backward; made by an operation of its own.
            loss.mul_(self._passes[0].weight)

    def on_after_backward(self, trainer: Any, pl_module: nn.Module) -> None:
        if self._running_others:
            return
        self._open.close()
        self._running_others = True
        try:
            for one in self._passes[1:]:
                with self._running(one), _without_log(pl_module):
                    found = trainer.strategy.training_step(*self._batch)
                    loss = found["loss"] if isinstance(found, Mapping) else found
                    if loss is not None:  # so training_step says that it skips a batch
                        loss = one.weight * loss / trainer.accumulate_grad_batches
                        trainer.strategy.backward(loss, None)
        finally:
            self._running_others = False

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, *_: Any) -> None:
        self._open.close()  # where there was no backward
        self._batch = ()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        self._open.close()

    def state_dict(self) -> dict[str, Any]:
        return self._loaded if self.omni is None else self.omni.state_dict()

    @contextmanager
    def _running(self, one: Pass) -> Iterator[None]:
        with self.omni.running(one), self.omni.supernet.masked():
            yield


def _check_possible(settings: SparsitySettings, pl_module: nn.Module) -> None:
    if settings.distillation is not None:
        raise OmniError("a callback does not distil; leave sparsity.distillation out")
    if not pl_module.automatic_optimization:
        raise OmniError(
            "the module optimizes manually: instead of the callback, use OmniTraining.backward "
            "with backward=self.manual_backward"
        )


def _check_whole(parts: int) -> None:
    if parts > 1:
        raise OmniError(
            "the sampler gives sub-networks parts of a batch, which a callback cannot cut; take "
            "sampler single, per-rank or sandwich with parts: 1"
        )


@contextmanager
def _without_log(pl_module: nn.Module) -> Iterator[None]:
    """Within it, what the module logs goes nowhere."""
    names = ("log", "log_dict")
    try:
        for name in names:
            pl_module.__dict__[name] = lambda *_, **__: None
        yield
    finally:
        for name in names:
            pl_module.__dict__.pop(name, None)


def _callback_base() -> type:
    """Lightning's own base of callbacks, of the package that is in use.

    Raises:
      OmniError: There is none.
    """
    for name in sorted(_PACKAGES, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name).Callback
        except ImportError:
            continue
    raise OmniError("Lightning is missing; 'python3 -m pip install lightning'")


def __getattr__(name: str) -> Any:
    """``SupernetCallback``, made when it is first asked for; pickles find it by this name."""
    if name != "SupernetCallback":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    content = {"__module__": __name__, "__doc__": SupernetHooks.__doc__}
    found = globals()[name] = type(name, (SupernetHooks, _callback_base()), content)
    return found
