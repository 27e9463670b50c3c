# SPDX-License-Identifier: Apache-2.0
"""Runs models side by side, weight by weight: none goes on before all have come as far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from omni_plugin.calibration.watch import Use, Watch, owners
from omni_plugin.errors import OmniError

#: A forward pass of a model over a batch, such as ``lambda model: model(batch)``.
Call = Callable[[nn.Module], Any]


class _Abandoned(BaseException):
    """Ends a run that is not needed any more; no module is meant to catch it."""


class _Run:
    """One forward pass, which takes turns with others: :meth:`advance` gives it a turn.

    Args:
      model, call: What runs.
      names: Of the weights at whose first use it stops, by ``id``.
      residuals: See :class:`Watch`.
    """

    def __init__(
        self, model: nn.Module, call: Call, names: Mapping[int, str], residuals: Set[str]
    ) -> None:
        self._model, self._call = model, call
        self._watch = Watch(names, self._stop, residuals)
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._seen: set[str] = set()
        self._error: BaseException | None = None
        self._abandoned = False
        self.use: Use | None = None  # where it stands; None at its end
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def advance(self) -> None:
        """Let it run to the next weight; raises what the model raises."""
        self._go.release()
        self._stopped.acquire()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """End it where it stands."""
        self._abandoned = True
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._wait()
            with torch.no_grad(), self._watch:
                self._call(self._model)
        except _Abandoned:
            pass
        except BaseException as e:  # told to whoever advances it
            self._error = e
        self.use = None
        self._stopped.release()

    def _stop(self, use: Use) -> None:
        if use.name in self._seen:  # a weight that is used again
            return
        self._seen.add(use.name)
        self.use = use
        self._stopped.release()
        self._wait()

    def _wait(self) -> None:
        self._go.acquire()
        if self._abandoned:
            raise _Abandoned


@dataclass
class Stop:
    """A weight that all runs are about to use for the first time.

    Args:
      name: Of the weight.
      uses: For each call, one for each model.
    """

    name: str
    uses: list[list[Use]]


class Walk:
    """The weights of some models of the same kind in the order in which they run.

    Each call runs once in each model, in a thread of its own that waits at every watched weight.
    So whoever iterates sees all inputs of a weight at once and may change the weight before it is
    used, what runs later sees the change, and nothing runs twice, whatever the model is made of.
    What is held meanwhile is what the calls need to go on: activations at one place of the model.

    Args:
      models: In eval mode, with the same names of parameters.
      calls: Each a whole utterance or batch of them: of a weight that a call uses several times,
        only the first use is seen.
      names: Of the weights to stop at.
      residuals: Those of them at which to stop when their product is added to something.

    Raises:
      OmniError: While iterating: the calls use the weights in different orders; or at the end:
        no call has used some of them.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        calls: Iterable[Call],
        names: Sequence[str],
        residuals: Set[str] = frozenset(),
    ) -> None:
        self._names = list(names)
        self._stack = ExitStack()
        watched = []
        for model in models:
            if model.training:
                raise OmniError("the model is in training mode; call model.eval() first")
            by_name = dict(model.named_parameters())
            watched.append({id(by_name[name]): name for name in names})
            self._stack.enter_context(owners(model, watched[-1]))
        self._runs = [
            [_Run(model, call, ids, residuals) for model, ids in zip(models, watched, strict=True)]
            for call in calls
        ]
        if not self._runs:
            self._stack.close()
            raise OmniError("there is nothing to calibrate on: give at least one call")

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *_: Any) -> None:
        for runs in self._runs:
            for run in runs:
                run.abandon()
        self._stack.close()

    def __iter__(self) -> Iterator[Stop]:
        left = list(self._names)
        runs = self._runs
        while True:
            for one in runs:
                for run in one:
                    run.advance()
            runs = [one for one in runs if any(run.use is not None for run in one)]
            if not runs:
                break
            names = {run.use.name if run.use else "the end" for one in runs for run in one}
            if len(names) > 1:
                raise OmniError(
                    f"calls use the weights in different orders: {' and '.join(sorted(names))} at "
                    "the same time; exclude one of them"
                )
            left.remove(*names)
            yield Stop(*names, [[run.use for run in one] for one in runs])
        if left:
            raise OmniError(
                f"{len(left)} of {len(self._names)} weights are not used as matrices by any call: "
                f"{', '.join(left[:3])}{', ...' if left[3:] else ''}; exclude them"
            )
