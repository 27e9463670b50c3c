# SPDX-License-Identifier: Apache-2.0
"""Writes sub-networks of a trained model to one packed file, for the sparse CPU runtime.

Usage:
  python3 -m omni_emformer.runtime.pack --exp-dir exp/synthetic/omni --out omni.packed
  python3 -m omni_emformer.runtime.pack --exp-dir exp/synthetic/omni --out small.packed \\
    --subnets 0.9 --values int8
  python3 -m omni_emformer.runtime.decode --packed small.packed --subnet 0.90 \\
    --exp-dir exp/synthetic/omni

  python3 -m omni_emformer.runtime.pack --exp-dir exp/synthetic/dense --also \\
    exp/synthetic/chain-0.50 exp/synthetic/chain-0.70 exp/synthetic/chain-0.80 \\
    exp/synthetic/chain-0.90 --values int8 --out chain.packed

Beside the file goes its model card, FILE.md, unless there is one: sizes, word error rates as far as
results.jsonl has them, training data, licence, latency, how to run it.

--epoch, --avg and the other options of emformer.decode that say which weights may follow.
Sub-networks of one supernet share their weights in the file: it takes little more room than the
densest of them. Those of further experiments (--also), such as the steps of the system chain, have
values of their own where they differ: then it takes as much as each of them alone would, together.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from emformer.decoding import options as decode_options
from emformer.errors import run_main
from emformer.options import Parser
from omni_emformer.cards.card import Origin, write_card
from omni_emformer.cards.options import add_licence_option
from omni_emformer.runtime.model import pack_transducers, packed_infos
from omni_emformer.supernet.options import add_subnets_option, add_system_option, open_subnets
from omni_plugin.runtime import VALUE_TYPES, PackedFile


def main(argv: Iterable[str] | None = None) -> None:
    parser = Parser(__doc__, "omni_emformer.runtime.pack")
    parser.add_argument("--out", type=Path, required=True, help="the packed file")
    add_subnets_option(parser)
    parser.add_argument(
        "--also",
        type=Path,
        nargs="+",
        default=[],
        metavar="EXP_DIR",
        help="experiments of the same architecture and vocabulary, whose sizes go into the same "
        "file, all of them, with values of their own; --epoch and its like are of these, too",
    )
    parser.add_argument(
        "--values", choices=list(VALUE_TYPES), default="float32", help="default float32"
    )
    add_licence_option(parser)
    add_system_option(parser)
    words = sys.argv[1:] if argv is None else list(argv)
    args, rest = parser.parse_known_args(argv)
    options = decode_options.get_parser(None).parse_args(rest)
    subnets = open_subnets(options, args.system, args.overrides)
    makers = [partial(subnets.make, level) for level in args.subnets or subnets.levels()]
    for folder in args.also:
        further = open_subnets(argparse.Namespace(**{**vars(options), "exp_dir": folder}))
        makers += [partial(further.make, level) for level in further.levels()]
    pack_transducers(args.out, makers, args.values, own_values=bool(args.also))
    names = ", ".join(PackedFile(args.out).subnets)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes, sub-networks {names}")
    infos = packed_infos(args.out)
    command = shlex.join(["python3", "-m", "omni_emformer.runtime.pack", *words])
    origin = Origin(options.exp_dir, command, args.licence or "", args.also)
    card = args.out.with_name(args.out.name + ".md")
    written = write_card(card, f"{origin.system} {args.out.name}", infos, [args.out], origin)
    print(f"{card}: {'its model card' if written else 'there already, and left as it is'}")


if __name__ == "__main__":
    sys.exit(run_main(main))
