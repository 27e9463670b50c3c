# SPDX-License-Identifier: Apache-2.0
"""Small Emformers of all kinds of shapes, and streams through them.

Run with ``--library PATH`` it streams through all of them on every instruction set, in float32 and
int8, with code that was compiled elsewhere, such as with an address sanitizer.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from emformer.encoder import emformer_class
from omni_emformer.runtime import encoder as runtime_encoder
from omni_emformer.runtime.encoder import PackedEmformer
from omni_plugin.runtime import PackedFile, native, use_packed, write_packed


def emformer(segment=4, right=1, left=6, dim=16, heads=2, ffn=36, layers=2, **more) -> nn.Module:
    torch.manual_seed(0)
    lengths = {"left_context_length": left, "right_context_length": right}
    made = emformer_class()(dim, heads, ffn, layers, segment, **lengths, **more).eval()
    with torch.no_grad():
        for parameter in made.parameters():  # norms and biases, too, are not as they begin
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def stream(model: nn.Module, x: Tensor, shape: nn.Module, chunks=range(40)) -> Tensor:
    """All chunks of streams ``(N, frames, D)`` one after the other: ``(N, chunks * S, D)``."""
    segment, window = shape.segment_length, shape.segment_length + shape.right_context_length
    outputs, states = [], None
    with torch.no_grad():
        for k in chunks:
            chunk = x[:, k * segment : k * segment + window]
            out, lengths, states = model.infer(chunk, torch.full((len(x),), window), states)
            assert lengths.tolist() == [segment] * len(x)
            outputs.append(out)
    return torch.cat(outputs, dim=1)


def inputs(shape: nn.Module, streams=2, chunks=40) -> Tensor:
    torch.manual_seed(1)
    frames = chunks * shape.segment_length + shape.right_context_length
    return torch.randn(streams, frames, shape.emformer_layers[0].input_dim)


SHAPES = {
    "a chunk of a word": dict(),
    "left context of whole chunks": dict(left=8),
    "no left context": dict(left=0),
    "no right context": dict(right=0),
    "left context shorter than a chunk": dict(segment=5, left=3, right=2),
    "right context longer than a chunk": dict(segment=2, right=7),
    "one frame": dict(segment=1, right=0, left=9),
    "half vectors of frames": dict(segment=16, right=4, left=30),
    "three vectors of frames": dict(segment=32, right=8, left=30),
    "more frames than are done at once": dict(segment=50, right=13, left=20),
    "heads that are no whole blocks": dict(dim=36, heads=3),
    "heads of less than a block": dict(dim=12, heads=4),
    "dimensions that are no whole blocks": dict(dim=10, heads=1, ffn=13),
    "a feed-forward network narrower than keys and values": dict(ffn=8),
    "relu": dict(activation="relu"),
    "gelu": dict(activation="gelu"),
    "silu": dict(activation="silu"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True)
    library = native.Library(parser.parse_args().library)
    runtime_encoder.load_library = lambda source: library
    for values in ("float32", "int8"):
        for number in range(library.cpu + 1):
            library.cpu = number
            for shape in SHAPES.values():
                model = emformer(**shape)
                with tempfile.TemporaryDirectory() as folder:
                    write_packed(Path(folder) / "m", model, [("it", model.state_dict())], values)
                    use_packed(model, PackedFile(Path(folder) / "m"), "it")
                x = inputs(model, streams=1, chunks=12)
                stream(PackedEmformer(model), x, model, range(12))
    print("all shapes")


if __name__ == "__main__":
    main()
