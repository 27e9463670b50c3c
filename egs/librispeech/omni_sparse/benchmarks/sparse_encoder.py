# SPDX-License-Identifier: Apache-2.0
"""Time of a chunk through the whole encoder: packed sub-networks, torch and onnxruntime.

Usage (from the recipe's folder):
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/sparse_encoder.py --json times.json

An Emformer of random weights, on one thread, with its left context filled: times depend on where
the zeros are and not on values. All kinds take turns in one process. The graph that onnxruntime
runs is exported here, and its output compared with torchaudio's; int8 is its dynamic quantisation.
The packed kinds' outputs are compared, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from emformer.config import load_config
from emformer.encoder import States, emformer_class
from omni_emformer.benchmark import timing as sparse_timing
from omni_emformer.runtime.encoder import PackedEmformer
from omni_plugin.runtime import PackedFile, use_packed, write_packed

# Times faster than onnxruntime's fp32 (float32) and int8 that are wanted.
_FLOAT32_BOUNDS = {0.0: 1 / 1.15, 0.8: 2.0, 0.9: 3.0}
_INT8_BOUNDS = {0.9: 1.3}


class Step(nn.Module):
    """One chunk of one stream whose left context is full, as a graph of few operators.

    S: segment, R: right context, L: left context, D: dimension.

    Args:
      emformer: torchaudio's, whose weights it uses.
    """

    def __init__(self, emformer: nn.Module) -> None:
        super().__init__()
        self.layers, self.right = emformer.emformer_layers, emformer.right_context_length

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Right context and segment ``(1, R + S, D)``, keys and values ``(1, L, D)`` of each layer;
        to the same of the next layer's and new states."""
        new = []
        for layer, key, value in zip(self.layers, states[::2], states[1::2], strict=True):
            attention, right = layer.attention, self.right
            normed = layer.layer_norm_input(x)
            query = attention.emb_to_query(normed)
            both = attention.emb_to_key_value(normed).chunk(2, dim=2)
            keys, values = (
                torch.cat([own[:, :right], left, own[:, right:]], dim=1)
                for own, left in zip(both, (key, value), strict=True)
            )
            new += [keys[:, -key.size(1) :], values[:, -key.size(1) :]]
            query, keys, values = (
                y.view(1, -1, attention.num_heads, y.size(2) // attention.num_heads).transpose(1, 2)
                for y in (query, keys, values)
            )
            weights = (query * attention.scaling @ keys.transpose(2, 3)).softmax(3)
            x = x + attention.out_proj((weights @ values).transpose(1, 2).flatten(2))
            x = layer.layer_norm_output(x + layer.pos_ff(x))
        return (x, *new)


def make_emformer(args: argparse.Namespace, segment: int, right: int) -> nn.Module:
    torch.manual_seed(0)
    config = load_config(args.config).model
    return emformer_class()(
        config.encoder_dim,
        config.num_heads,
        config.ffn_dim,
        config.num_layers,
        segment,
        activation=config.activation,
        left_context_length=config.left_context,
        right_context_length=right,
    ).eval()


@torch.no_grad()
def measure(args: argparse.Namespace, chunk: str, folder: Path) -> list[dict]:
    segment, right = sparse_timing.parse_chunk(chunk)
    emformer = make_emformer(args, segment, right)
    x = torch.randn(1, segment + right, emformer.emformer_layers[0].input_dim)
    lengths = torch.tensor([segment + right])

    def stream(model: nn.Module) -> tuple[Callable[[], Tensor], States]:
        """Calls that go on with a stream whose left context is full, and its state now."""
        states = None
        for _ in range(-(-emformer.left_context_length // segment)):
            _, _, states = model.infer(x, lengths, states)

        def call() -> Tensor:
            nonlocal states
            out, _, states = model.infer(x, lengths, states)
            return out

        return call, states

    calls: dict[str, Callable] = {}
    calls["torch"], states = stream(emformer)
    states = [tensor.transpose(0, 1).clone() for layer in states for tensor in layer[1:3]]
    expected = calls["torch"]()
    inputs = (torch.cat([x[:, segment:], x[:, :segment]], dim=1), *states)
    names = [f"{part}{i}" for i in range(len(states) // 2) for part in ("key", "value")]
    ends = ["x", *names], ["out", *(f"new_{name}" for name in names)]
    for kind, path in sparse_timing.export(Step(emformer), inputs, *ends, folder).items():
        runner = sparse_timing.session(path)
        feed = {name: tensor.numpy() for name, tensor in zip(ends[0], inputs, strict=True)}
        found = torch.from_numpy(runner.run(None, feed)[0])[:, right:]
        print(f"{chunk} {kind}: within {float((found - expected).abs().max()):.1e} of infer")
        calls[kind] = lambda runner=runner, feed=feed: runner.run(None, feed)
    bounds = {}
    for values in ("float32", "int8"):
        for level in (0.0, *args.sparsities):
            name, path = f"packed {values} {level:g}", folder / f"{values}-{level}.packed"
            sparse = sparse_timing.pruned_copy(emformer, level)
            if not path.exists():
                write_packed(path, sparse, [("", sparse.state_dict())], values)
            expected = stream(sparse)[0]()
            use_packed(sparse, PackedFile(path), "")
            calls[name] = stream(PackedEmformer(sparse))[0]
            error = float((calls[name]() - expected).abs().max())
            print(f"{chunk} {name}: {path.stat().st_size:,} bytes, within {error:.1e} of infer")
            wanted = (_FLOAT32_BOUNDS if values == "float32" else _INT8_BOUNDS).get(level)
            bounds[name, f"onnx {values}"] = wanted
    times = sparse_timing.interleave(calls, args.rounds)
    return sparse_timing.report(f"chunk {chunk}", times, ["onnx float32", "onnx int8"], bounds)


def main() -> None:
    args = sparse_timing.get_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for chunk in args.chunks:
            rows += measure(args, chunk, Path(folder))
    sparse_timing.finish(args, rows)


if __name__ == "__main__":
    sys.exit(main())
