# SPDX-License-Identifier: Apache-2.0
"""Decodes a sub-network of a packed file chunk by chunk, with the sparse CPU runtime.

Usage:
  python3 -m omni_emformer.runtime.decode --packed omni.packed --subnet 0.90 \\
    --exp-dir exp/synthetic/omni

The options of emformer.streaming_decode may follow; results go to --exp-dir as its results do, by
default as those of a system named packed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emformer import streaming_decode
from emformer.decoding.model import DecodingInfo
from emformer.errors import run_main
from emformer.model import Transducer
from emformer.options import Parser
from omni_emformer.runtime.model import load_packed


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(__doc__, "omni_emformer.runtime.decode")
    parser.add_argument("--packed", type=Path, required=True, help="the packed file")
    parser.add_argument("--subnet", required=True, help="name of its sub-network, such as 0.90")
    args, rest = parser.parse_known_args(argv)

    def load(_: argparse.Namespace) -> tuple[Transducer, DecodingInfo]:
        return load_packed(args.packed, args.subnet)

    streaming_decode.main(["--device", "cpu", "--system-name", "packed", *rest], load)


if __name__ == "__main__":
    sys.exit(run_main(main))
