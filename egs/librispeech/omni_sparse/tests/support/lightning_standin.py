# SPDX-License-Identifier: Apache-2.0
"""The order in which Lightning calls its hooks, for where it is not installed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class Callback:
    """Has every hook that is called here, as Lightning's has."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *_: None
        raise AttributeError(name)


class LightningModule(nn.Module):
    automatic_optimization = True

    def log(self, name: str, value: Tensor, **_: Any) -> None:
        self.trainer.logged.append((name, float(value)))

    log_dict = log


class Trainer:
    """Automatic optimization in one process; see loops/optimization/automatic.py of Lightning."""

    global_rank = 0

    def __init__(
        self, max_epochs: int, callbacks: list, accumulate_grad_batches: int = 1, **_: Any
    ) -> None:
        self.max_epochs, self.callbacks = max_epochs, callbacks
        self.accumulate_grad_batches = accumulate_grad_batches
        self.strategy = SimpleNamespace(training_step=self._training_step, backward=self._backward)
        self.global_step, self.logged = 0, []

    def _training_step(self, *args: Any) -> Any:
        return self.module.training_step(*args)

    def _backward(self, loss: Tensor, optimizer: Any) -> None:
        self._call("on_before_backward", loss)
        loss.backward()
        self._call("on_after_backward")

    def _call(self, hook: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, self.module, *args)

    def fit(self, module: LightningModule, batches: list, ckpt_path: Any = None) -> None:
        self.module, module.trainer = module, self
        optimizer, first = module.configure_optimizers(), 0
        self.estimated_stepping_batches = (
            float("inf")
            if self.max_epochs == -1
            else self.max_epochs * len(batches) // self.accumulate_grad_batches
        )
        if ckpt_path is not None:
            state = torch.load(ckpt_path)
            module.load_state_dict(state["state_dict"])
            optimizer.load_state_dict(state["optimizer"])
            self.global_step, first = state["global_step"], state["epochs"]
            for callback, own in zip(self.callbacks, state["callbacks"], strict=True):
                callback.load_state_dict(own)
        self._call("on_train_start")
        for _ in range(first, self.max_epochs):
            for index, batch in enumerate(batches):
                self._batch(optimizer, batch, index)
        self.epochs, self.optimizer = self.max_epochs, optimizer

    def _batch(self, optimizer: torch.optim.Optimizer, batch: Any, index: int) -> None:
        self._call("on_train_batch_start", batch, index)
        loss = self._training_step(batch, index)
        number = index % self.accumulate_grad_batches
        if number == 0:
            optimizer.zero_grad()
        if loss is not None:
            self._backward(loss / self.accumulate_grad_batches, optimizer)
        if number == self.accumulate_grad_batches - 1:
            optimizer.step()
            self.global_step += 1
        self._call("on_train_batch_end", None, batch, index)

    def save_checkpoint(self, path: Any) -> None:
        state = {
            "state_dict": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "global_step": self.global_step,
            "epochs": self.epochs,
            "callbacks": [callback.state_dict() for callback in self.callbacks],
        }
        torch.save(state, path)
