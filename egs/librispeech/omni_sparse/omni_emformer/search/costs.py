# SPDX-License-Identifier: Apache-2.0
"""What a sub-network of the transducer costs."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import Timer

from emformer.experiment.whole_file import write_whole
from emformer.model import Transducer, num_deployed_parameters
from omni_plugin import SuperNet
from omni_plugin.runtime import BlockMatrix, PackedLinear
from omni_plugin.runtime.blocks import ROWS
from omni_plugin.search import (
    Cost,
    chunk_time,
    multiply_adds,
    remaining_parameters,
    stored_bytes,
)

#: What ``--cost`` may name.
COSTS = ("params", "bytes", "macs", "chunk-ms")

_SECONDS = 0.2  # of measuring a layer


def make_costs(supernet: SuperNet, model: Transducer, timings: Path) -> dict[str, Cost]:
    """All costs by name. They count what is deployed, without the simple joiner of training.

    Args:
      supernet: Its sub-networks are counted.
      model: Its transducer.
      timings: File of measured times; what it has is not measured again.
    """
    covered = [model.get_parameter(name) for name in supernet.layer_names]
    others = num_deployed_parameters(model) - sum(p.numel() for p in covered)
    uses, other_macs = _count(supernet, model)
    chunks = 1000 / model.config.chunk_ms  # a second
    times = Timings(supernet, model, timings, uses)
    return {
        "params": remaining_parameters(supernet, others),
        "bytes": stored_bytes(supernet, others),
        "macs": multiply_adds(supernet, [n * chunks for n in uses], other_macs * chunks),
        # Measured only where it is asked for.
        "chunk-ms": chunk_time(times.layer_ms, times.others_ms),
    }


@torch.no_grad()
def _run_chunk(model: Transducer) -> None:
    model.encode_chunk(torch.zeros(1, model.window_frames, model.config.feature_dim), None)


def _count(supernet: SuperNet, model: Transducer) -> tuple[list[int], int]:
    """Frames that each covered weight is multiplied by in a chunk, and other multiply-adds.

    Those of the encoder and, for each frame, the joiner. The decoder runs for symbols only and is
    left out.
    """
    frames: dict[int, int] = {}
    macs: dict[int, int] = {}

    def note(module: nn.Module, _: Any, out: torch.Tensor) -> None:
        size = out.size(-1 if isinstance(module, nn.Linear) else 1)
        frames[id(module.weight)] = out.numel() // size
        macs[id(module.weight)] = module.weight.numel() * frames[id(module.weight)]

    kinds = (nn.Linear, nn.Conv1d)
    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, kinds)]
    _run_chunk(model)
    for hook in hooks:
        hook.remove()
    config, encoder = model.config, model.encoder
    keys = config.left_context + config.segment + config.right_context
    queries = config.segment + config.right_context
    attention = 2 * queries * keys * config.encoder_dim * len(encoder.emformer.emformer_layers)
    joiner = config.segment * model.joiner.output_linear.weight.numel()
    covered = [id(model.get_parameter(name)) for name in supernet.layer_names]
    others = sum(n for weight, n in macs.items() if weight not in covered)
    return [frames[weight] for weight in covered], others + attention + joiner


class Timings:
    """Measured times of the products of one chunk, by one thread, in milliseconds.

    Only the sparse kernel, which has blocks of 8 rows, gains from zeros.

    Args:
      supernet: Its weights are masked.
      model: Its transducer.
      path: File of what was measured.
      frames: That each covered weight is multiplied by in a chunk.
    """

    def __init__(
        self, supernet: SuperNet, model: Transducer, path: Path, frames: list[int]
    ) -> None:
        self._supernet, self._model, self._path, self._frames = supernet, model, path, frames
        self._known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def layer_ms(self, number: int, level: float) -> float:
        """Of a covered weight at a level, by the faster of PyTorch and the sparse kernel."""
        dense, pattern = self._dense_ms(number), self._supernet.pattern
        if (pattern.rows, pattern.cols) != (ROWS, 1):
            return dense
        name = f"{self._size(number)}, sparsity {level:g}"
        return min(dense, self._measured(name, functools.partial(self._sparse, number, level)))

    @property
    def others_ms(self) -> float:
        """Of a chunk without the products of the covered weights."""
        chunk = self._measured("chunk, dense", lambda: functools.partial(_run_chunk, self._model))
        return max(0.0, chunk - sum(map(self._dense_ms, range(len(self._frames)))))

    def _dense_ms(self, number: int) -> float:
        return self._measured(f"{self._size(number)}, dense", lambda: self._dense(number))

    def _size(self, number: int) -> str:
        """Weights of one size take the same time."""
        rows, cols = self._weight(number).shape[:2]
        return f"{rows}x{cols}, {self._frames[number]} frames"

    def _measured(self, name: str, make: Callable[[], Callable[[], Any]]) -> float:
        if name not in self._known:
            # The time of this process alone, and the least of several: other programs on the
            # machine can only make it slower.
            timer = Timer("run()", globals={"run": make()}, timer=time.process_time)
            self._known[name] = 1000 * min(timer.blocked_autorange(min_run_time=_SECONDS).times)
            write_whole(self._path, json.dumps(self._known, indent=1) + "\n")
        return self._known[name]

    def _weight(self, number: int) -> torch.Tensor:
        return self._model.get_parameter(self._supernet.layer_names[number]).detach()

    def _dense(self, number: int) -> Callable[[], Any]:
        weight = self._weight(number)
        x = torch.randn(self._frames[number], weight.shape[1])
        return functools.partial(nn.functional.linear, x, weight)

    def _sparse(self, number: int, level: float) -> Callable[[], Any]:
        weight, pattern = self._weight(number), self._supernet.pattern
        keep = pattern.keep(self._supernet.ranks()[self._supernet.layer_names[number]], level)
        masked = pattern.apply(weight, keep.to(weight.dtype))
        x = torch.randn(self._frames[number], weight.shape[1])
        return functools.partial(PackedLinear(BlockMatrix.from_dense(masked)), x)
