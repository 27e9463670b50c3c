# SPDX-License-Identifier: Apache-2.0
"""Time of the linear layers of a chunk alone: packed ones, torch and onnxruntime.

Usage (from the recipe's folder):
  OMP_NUM_THREADS=1 PYTHONPATH=. python3 benchmarks/sparse_linear.py --json times.json

All linear layers of the encoder one after the other (of each layer four of D x D and the two of
the feed-forward network), on as many frames as a chunk and its right context have, on one thread.
Weights are random. All kinds take turns in one process. Packed layers and torch's are called one by
one; onnxruntime runs the same chain as one graph, float32 and dynamically quantised to int8.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from emformer.config import load_config
from omni_emformer.benchmark import timing as sparse_timing
from omni_plugin.runtime import PackedFile, use_packed, write_packed

# Times faster than the same kernel at 0 and than onnxruntime's fp32 that are wanted.
_OWN_BOUNDS = {0.5: 1.7, 0.7: 2.9, 0.8: 3.9, 0.9: 5.5}
_ONNX_BOUNDS = {0.5: 2.0, 0.7: 3.5, 0.8: 5.0, 0.9: 8.0}


def make_chain(config_path: str) -> nn.Sequential:
    config = load_config(config_path).model
    dim, ffn = config.encoder_dim, config.ffn_dim
    shapes = [(dim, dim)] * 4 + [(dim, ffn), (ffn, dim)]
    torch.manual_seed(0)
    chain = nn.Sequential(*(nn.Linear(*s) for _ in range(config.num_layers) for s in shapes))
    for linear in chain:
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        nn.init.normal_(linear.bias)  # so that values do not fade away along the chain
    return chain.eval()


@torch.no_grad()
def measure(args: argparse.Namespace, chain: nn.Sequential, chunk: str, folder: Path) -> list[dict]:
    x = torch.randn(1, sum(sparse_timing.parse_chunk(chunk)), chain[0].in_features)
    calls = {"torch": lambda: chain(x)}
    for kind, path in sparse_timing.export(chain, (x,), ["x"], ["y"], folder).items():
        runner, feed = sparse_timing.session(path), {"x": x.numpy()}
        error = (torch.from_numpy(runner.run(None, feed)[0]) - chain(x)).abs().max()
        print(f"{chunk} {kind}: within {float(error):.1e} of torch")
        calls[kind] = lambda runner=runner, feed=feed: runner.run(None, feed)
    bounds = {}
    for values in ("float32", "int8"):
        for level in (0.0, *args.sparsities):
            path = folder / f"{values}-{level}.packed"
            sparse = sparse_timing.pruned_copy(chain, level)
            if not path.exists():
                write_packed(path, sparse, [("", sparse.state_dict())], values)
            packed = make_chain(args.config)
            use_packed(packed, PackedFile(path), "")
            name = f"packed {values} {level:g}"
            error = float((packed(x) - sparse(x)).abs().max())
            print(f"{chunk} {name}: {path.stat().st_size:,} bytes, within {error:.1e} of dense")
            calls[name] = lambda packed=packed: packed(x)
            if values == "float32":
                bounds[name, "packed float32 0"] = _OWN_BOUNDS.get(level)
                bounds[name, "onnx float32"] = _ONNX_BOUNDS.get(level)
    times = sparse_timing.interleave(calls, args.rounds)
    rivals = ["packed float32 0", "onnx float32", "onnx int8"]
    return sparse_timing.report(f"chunk {chunk}", times, rivals, bounds)


def main() -> None:
    args = sparse_timing.get_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    chain, rows = make_chain(args.config), []
    with tempfile.TemporaryDirectory() as folder:
        for chunk in args.chunks:
            rows += measure(args, chain, chunk, Path(folder))
    sparse_timing.finish(args, rows)


if __name__ == "__main__":
    sys.exit(main())
