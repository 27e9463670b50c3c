# SPDX-License-Identifier: Apache-2.0
"""Prune a trained dense model in closed form: no training, no texts, seconds a level.

Usage:
  python3 -m omni_emformer.calibrate --exp-dir exp/synthetic/dense --subnets 0.5 0.7

Each level becomes <exp-dir>/calibrated/<level>/epoch-1.pt, a plain model: the folder is an
experiment that emformer.decode, emformer.streaming_decode and every other script takes. The sweep
with the same --system decodes it, and makes those that are not there. Options of decoding that say
which checkpoint and which data (--epoch, --avg, --corpus, --data-dir, ...) may follow.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from emformer import streaming_decode
from emformer.decoding.run import open_experiment
from emformer.errors import RecipeError, run_main
from emformer.options import Parser, fraction
from emformer.overrides import add_set_option
from omni_emformer.supernet.calibrated_subnets import CalibratedSubnets
from omni_emformer.supernet.system import load_system


def get_parser() -> argparse.ArgumentParser:
    """The own options; the rest are decoding's."""
    parser = Parser(__doc__, "omni_emformer.calibrate")
    parser.add_argument("--exp-dir", type=Path, required=True, help="where training wrote")
    parser.add_argument(
        "--system",
        type=Path,
        default=Path("conf/systems/calibrated.yaml"),
        help="YAML file with the section calibrated (default: conf/systems/calibrated.yaml)",
    )
    add_set_option(
        parser, "in place of what that file says, such as calibrated.score=wanda; may be repeated"
    )
    parser.add_argument(
        "--subnets",
        type=fraction,
        nargs="+",
        metavar="SPARSITY",
        help="default: the system's valid_levels and max_sparsity",
    )
    return parser


def main(argv: Iterable[str] | None = None) -> None:
    args, rest = get_parser().parse_known_args(list(sys.argv[1:] if argv is None else argv))
    parser = streaming_decode.get_parser()
    parser.prog, parser.usage = "python3 -m omni_emformer.calibrate", "%(prog)s --exp-dir E [...]"
    options = parser.parse_args([*rest, "--exp-dir", str(args.exp_dir)])
    system = load_system(args.system, args.overrides)
    if system.calibrated is None:
        raise RecipeError(f"--system {args.system} has no section calibrated")
    open_experiment(args.exp_dir, "calibrate")
    subnets = CalibratedSubnets(options, system)
    for level in args.subnets or subnets.levels():
        if level == 0:
            continue
        start = time.monotonic()
        _, info = subnets.make(level)
        errors = subnets.errors(subnets.supernet.subnet(level)).values()
        logging.info(
            f"{info.subnet}: {info.num_nonzero:,} of {info.num_params:,} parameters are left, mean "
            f"error of the layers {sum(errors) / len(errors):.1%}; {time.monotonic() - start:.0f} s"
        )
    logging.info(
        f"{args.exp_dir / system.name}: decode with emformer.streaming_decode or the sweep"
    )


if __name__ == "__main__":
    sys.exit(run_main(main))
