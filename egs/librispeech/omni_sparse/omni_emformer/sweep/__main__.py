# SPDX-License-Identifier: Apache-2.0
"""Stage 10: decode every sub-network of a model, by every method, in every mode.

What results.jsonl holds already is not decoded again, so an interrupted sweep goes on when the same
command is run again, while another checkpoint is decoded anew, and so is a test split whose texts
have changed: a result carries fingerprints of its weights and its references. Each run of an
encoder serves all methods.

A model that was trained without a supernet is pruned in one shot, by the settings of --system:
its level 0 is the model itself, the others are results of the system --one-shot-name. A system of
calibrated pruning needs the training features, too.

Usage:
  python3 -m omni_emformer.sweep --exp-dir exp/synthetic/omni
  python3 -m omni_emformer.sweep --exp-dir exp/synthetic/dense \\
    --system conf/systems/one_shot.yaml \\
    --subnets 0 0.5 0.9 --methods greedy_search modified_beam_search --modes simulated chunk-wise

Every option of emformer.streaming_decode that says which weights, which data, how to search and
on which machine may follow: --epoch, --avg, --data-dir, --beam-size, --device and so on.
Appends to <exp-dir>/results.jsonl, writes recogs, errs and wer-summary files as decoding does,
<exp-dir>/sweep.json (the commands, and what the pattern covers), and <exp-dir>/log/log-sweep-*.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from emformer import streaming_decode
from emformer.decoding.options import add_methods_option
from emformer.decoding.run import open_experiment
from emformer.errors import RecipeError, run_main
from emformer.experiment.logs import only_log_to_file
from emformer.options import Parser, positive_float
from emformer.scoring.results import CHUNK_WISE, SIMULATED
from omni_emformer.supernet.options import add_subnets_option, add_system_option
from omni_emformer.supernet.system_file import read_system
from omni_emformer.sweep.experiment_sweep import COSTS, ExperimentSweep, done_cells
from omni_emformer.sweep.record import record_sweep
from omni_plugin.sweep import run_sweep

_FACTORS = {"k": 1e3, "M": 1e6, "G": 1e9}


def get_parser() -> argparse.ArgumentParser:
    """The sweep's own options; the rest are decoding's."""
    parser = Parser(__doc__, "omni_emformer.sweep")
    parser.add_argument("--exp-dir", type=Path, required=True, help="where training wrote")
    parser.add_argument("--system-name", help="in results (default: as trained, see system.yaml)")
    add_system_option(parser)
    parser.add_argument(
        "--one-shot-name",
        metavar="NAME",
        help="system of the pruned sub-networks of such a model in results (default: one_shot, or "
        "the name of a calibrated system)",
    )
    add_subnets_option(
        parser,
        "or names: of sub-networks of fewer layers, such as units-4, or that a search found, "
        "such as front/3 (default: what was trained: 0, valid_levels and max_sparsity of the "
        "supernet's settings; all sizes)",
    )
    for old in ("--levels", "--subnet"):
        parser.add_old_spelling(old, "--subnets")
    for old in ("--method", "--decoding-method"):
        parser.add_old_spelling(old, "--methods")
    for cost in COSTS:
        parser.add_argument(
            f"--max-{cost}", type=amount, metavar="N", help="also the best that a search found"
        )
    add_methods_option(parser)
    modes = [SIMULATED, CHUNK_WISE]
    parser.add_argument(
        "--modes", nargs="+", choices=modes, default=[CHUNK_WISE], help="default chunk-wise"
    )
    parser.add_argument("--splits", nargs="+", help="default: the corpus's test splits")
    return parser


def amount(text: str) -> float:
    """A number above 0, perhaps of thousands, millions or billions: 800k, 0.8M, 2G."""
    factor = _FACTORS.get(text[-1:])
    return positive_float(text[:-1]) * factor if factor else positive_float(text)


def _decode_options(args: argparse.Namespace, rest: Sequence[str]) -> argparse.Namespace:
    parser = streaming_decode.get_parser()
    parser.prog, parser.usage = "python3 -m omni_emformer.sweep", "%(prog)s --exp-dir E [options]"
    for word in rest:
        if word.partition("=")[0] == "--compare-encoders":
            parser.error(f"{word} is no option of the sweep; see --help")
    words = [*rest, "--exp-dir", str(args.exp_dir), "--methods", *dict.fromkeys(args.methods)]
    return parser.parse_args(words)


def main(argv: Iterable[str] | None = None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    args, rest = get_parser().parse_known_args(words)
    trained = read_system(args.exp_dir).get("name") or args.exp_dir.resolve().name
    args.system_name = args.system_name or trained
    options = _decode_options(args, rest)
    open_experiment(args.exp_dir, "sweep", may_be_done=True)
    only_log_to_file()
    sweep = ExperimentSweep(args, options)
    cells, done = sweep.cells(), done_cells(args.exp_dir, sweep.references)
    if os.access(args.exp_dir, os.W_OK):
        systems = {variant.system for variant in sweep.variants}
        record_sweep(args.exp_dir, words, systems, sweep.subnets.coverage())
    elif not done.issuperset(cells):
        raise RecipeError(f"{args.exp_dir}: cannot be written to; copy it and sweep the copy")

    def tell(line: str) -> None:
        logging.info(line)
        print(line, flush=True)

    run_sweep(cells, done, sweep.decode, tell)
    tell(f"results: {args.exp_dir}/results.jsonl")


if __name__ == "__main__":
    sys.exit(run_main(main))
