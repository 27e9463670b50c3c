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

and README.md, its model card: sizes, word error rates as far as results.jsonl has them, training
data, licence, latency, how to run it. A folder that holds the same weights is left as it is; only a
README.md that was deleted is written anew. --epoch, --avg and the other options of
emformer.decode that say which weights may follow.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from emformer.decoding import options as decode_options
from emformer.errors import run_main
from emformer.options import Parser
from omni_emformer.cards.card import Origin
from omni_emformer.cards.options import add_licence_option
from omni_emformer.export.subnet import FORMATS, export, folder_of
from omni_emformer.supernet.options import add_subnets_option, add_system_option, open_subnets


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(__doc__, "omni_emformer.export")
    add_subnets_option(parser)
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="default: all"
    )
    parser.add_argument("--out", type=Path, help="in place of <exp-dir>/export")
    add_licence_option(parser)
    add_system_option(parser)
    words = sys.argv[1:] if argv is None else list(argv)
    args, rest = parser.parse_known_args(argv)
    options = decode_options.get_parser(None).parse_args(rest)
    command = shlex.join(["python3", "-m", "omni_emformer.export", *words])
    origin = Origin(options.exp_dir, command, args.licence or "")
    subnets = open_subnets(options, args.system, args.overrides)
    for level in args.subnets or subnets.levels():
        model, info = subnets.make(level)
        folder = folder_of(options.exp_dir, info.subnet)
        if args.out is not None:
            folder = args.out / folder.name
        written = export(model, info, folder, args.formats, origin)
        told = f"{info.num_params:,} parameters, {info.num_nonzero:,} of them not zero"
        print(f"{folder}: {told}" if written else f"{folder}: there already", flush=True)


if __name__ == "__main__":
    sys.exit(run_main(main))
