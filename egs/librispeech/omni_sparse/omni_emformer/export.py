# SPDX-License-Identifier: Apache-2.0
"""Stage 13: write sub-networks of a trained model as files for other programs.

Usage:
  python3 -m omni_emformer.export --exp-dir exp/synthetic/omni
  python3 -m omni_emformer.export --exp-dir exp/synthetic/omni --subnets 0.9 front/3 \\
    --formats onnx
  python3 -m omni_emformer.export --exp-dir exp/synthetic/simple_top_k --subnets units-4

Each gets a folder <exp-dir>/export/<name>, which is there once it is whole:
  checkpoint   epoch-1.pt, with its weights under the key "model", as icefall has them: a plain
               transducer, and the folder an experiment which emformer.streaming_decode decodes
  torchscript  torchscript.pt: encode_chunk, predict and join
  onnx         encoder.onnx, decoder.onnx, joiner.onnx and the same as .int8.onnx, with tokens.txt:
               a streaming transducer for sherpa-onnx; weights that are mostly zero are stored as
               sparse_initializer, without their zeros
  packed       float32.packed, int8.packed: for the sparse CPU runtime

A folder that holds the same weights is left as it is. --epoch, --avg and the other options of
emformer.decode that say which weights may follow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emformer import decode_options
from emformer.decode_model import DecodingInfo
from emformer.errors import RecipeError, run_main
from emformer.model import Transducer
from omni_emformer.export_checkpoint import write_checkpoint
from omni_emformer.export_info import read_info, write_info
from omni_emformer.export_torchscript import write_torchscript
from omni_emformer.onnx_export import write_onnx
from omni_emformer.runtime_model import pack_transducers
from omni_emformer.subnet_options import add_subnets_option, add_system_option, open_subnets
from omni_plugin.export import new_folder
from omni_plugin.runtime import VALUE_TYPES

FOLDER = "export"


def _write_packed(model: Transducer, info: DecodingInfo, folder: Path) -> None:
    for values in VALUE_TYPES:
        pack_transducers(folder / f"{values}.packed", [lambda: (model, info)], values)


# Packing comes last: it takes what only training uses out of the model.
FORMATS = {
    "checkpoint": write_checkpoint,
    "torchscript": write_torchscript,
    "onnx": write_onnx,
    "packed": _write_packed,
}


def folder_of(exp_dir: Path, subnet: str) -> Path:
    """Where a sub-network is exported to."""
    return exp_dir / FOLDER / subnet.replace("/", "-")


def export(
    model: Transducer, info: DecodingInfo, folder: Path, formats: Sequence[str] = tuple(FORMATS)
) -> bool:
    """Write a sub-network; False if the folder holds it already.

    Args:
      model: With plain weights of its own, in eval mode on the CPU.
      info: Of the model.
      folder: To be made.
      formats: Which of :data:`FORMATS`.

    Raises:
      RecipeError: The folder holds something else.
    """
    if folder.exists():
        if read_info(folder).weights == info.weights:
            return False
        raise RecipeError(f"{folder} holds other weights; delete it or choose another --out")
    with new_folder(folder) as part:
        write_info(part, info)
        for name, write in FORMATS.items():
            if name in formats:
                write(model, info, part)
    return True


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python3 -m omni_emformer.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_subnets_option(parser)
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="default: all"
    )
    parser.add_argument("--out", type=Path, help="in place of <exp-dir>/export")
    add_system_option(parser)
    args, rest = parser.parse_known_args(argv)
    options = decode_options.get_parser(None).parse_args(rest)
    subnets = open_subnets(options, args.system)
    for level in args.subnets or subnets.levels():
        model, info = subnets.make(level)
        folder = folder_of(options.exp_dir, info.subnet)
        if args.out is not None:
            folder = args.out / folder.name
        written = export(model, info, folder, args.formats)
        told = f"{info.num_params:,} parameters, {info.num_nonzero:,} of them not zero"
        print(f"{folder}: {told}" if written else f"{folder}: there already", flush=True)


if __name__ == "__main__":
    sys.exit(run_main(main))
