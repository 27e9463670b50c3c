# SPDX-License-Identifier: Apache-2.0
"""Bytes of an exported sub-network in each form of storage."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emformer.decoding import options as decode_options
from emformer.decoding.model import load_decoding_model
from omni_emformer.export.onnx_export import write_onnx
from omni_emformer.export.sherpa import KINDS, PARTS

#: Forms of storage, in the order of tables.
DENSE, SPARSE, INT8 = "ONNX, dense", "ONNX, sparse", "ONNX int8"
PACKED, PACKED_INT8 = "packed", "packed int8"


def file_sizes(folder: Path) -> dict[str, dict[str, int]]:
    """Bytes ``stored`` and ``gzip`` of each form; ONNX files are all three parts.

    Args:
      folder: Of an export with all formats.
    """
    options = decode_options.get_parser(None).parse_args(["--exp-dir", str(folder)])
    model, info = load_decoding_model(options)
    with tempfile.TemporaryDirectory() as scratch:
        write_onnx(model, info, Path(scratch), int8=False, sparse=False)
        found = {DENSE: _sizes(_parts(Path(scratch), "float32"))}
    found[SPARSE] = _sizes(_parts(folder, "float32"))
    found[INT8] = _sizes(_parts(folder, "int8"))
    found[PACKED] = _sizes([folder / "float32.packed"])
    found[PACKED_INT8] = _sizes([folder / "int8.packed"])
    return found


def _parts(folder: Path, kind: str) -> list[Path]:
    return [folder / f"{part}{KINDS[kind]}" for part in PARTS]


def _sizes(paths: Sequence[Path]) -> dict[str, int]:
    contents = [path.read_bytes() for path in paths]
    compressed = sum(len(gzip.compress(content)) for content in contents)
    return {"stored": sum(map(len, contents)), "gzip": compressed}
