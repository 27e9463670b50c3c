# SPDX-License-Identifier: Apache-2.0
"""Time of a chunk through the encoders of a layer selection, each exported, against the full one.

Usage (from the recipe's folder):
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/small_encoder.py \\
    --exp-dir exp/synthetic/simple_top_k

Front end, Emformer and the joiner's projection, as chunk-wise decoding runs them, with the left
context filled. All sizes take turns in one process on one thread; times are its own processor time.
Ratios are medians over rounds with 95 % bootstrap intervals. State is what a stream keeps between
chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from emformer.decoding import options as decode_options
from emformer.encoder import States
from emformer.experiment.description import cpu_name
from emformer.model import Transducer
from emformer.options import Parser
from emformer.scoring.results import DENSE
from omni_emformer.benchmark.timing import interleave, report
from omni_emformer.supernet.layer_subnets import LayerSubnets


@torch.no_grad()
def old_stream(model: Transducer, window: Tensor) -> States:
    """The state of streams that are so old that all left context is filled."""
    states = None
    for _ in range(math.ceil(model.config.left_context / model.config.segment)):
        _, states = model.encode_chunk(window, states)
    return states


def step(model: Transducer, window: Tensor, states: States) -> Callable[[], object]:
    """A call that encodes one more chunk."""

    @torch.no_grad()
    def call() -> object:
        return model.encode_chunk(window, states)

    return call


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="of a layer selection")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16], help="at once")
    parser.add_argument("--rounds", type=int, default=40, help="of all sizes (default 40)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    options = decode_options.get_parser(None).parse_args(["--exp-dir", str(args.exp_dir)])
    subnets = LayerSubnets(options)
    found = {name: subnets.make(name) for name in subnets.levels()}
    config = subnets.info.config.model
    for streams in args.streams:
        calls, told = {}, []
        for name, (model, info) in found.items():
            torch.manual_seed(0)
            window = torch.randn(streams, model.window_frames, config.feature_dim) * 3.5 - 5
            states = old_stream(model, window)
            kept = sum(t.numel() * t.element_size() for layer in states for t in layer)
            told.append(f"{name} {info.num_params:,} parameters, state {kept:,} bytes")
            calls[name] = step(model, window, states)
        title = f"a chunk of {config.chunk_ms} ms, {streams} stream{'s' * (streams > 1)}"
        report(title, interleave(calls, args.rounds), [DENSE], {})
        print("; ".join(told))
    print(f"\n{cpu_name()}, 1 thread, torch {torch.__version__}")


if __name__ == "__main__":
    main()
