# SPDX-License-Identifier: Apache-2.0
"""Stage 12: search a supernet for the best sub-network of every size.

Scores sub-networks whose layers differ in sparsity on a part of the dev set that nothing else sees
(the corpus's `search` splits, or half of `dev`): by their loss on the first ten minutes of it, the
best of them by their loss on all of it, and the best of those by their word errors. The same is
done with random sub-networks, uniform levels, and two other ways to choose levels. The best
for some budgets, by search, at random and uniform, are then decoded on the test splits.

Usage:
  python3 -m omni_emformer.search --exp-dir exp/synthetic/omni --num-workers 2
  python3 -m omni_emformer.search --exp-dir exp/synthetic/omni --cost chunk-ms

The same command goes on where an interrupted search was, and may run several times at once. With
more --evaluations a finished search goes on. Decode any of its sub-networks by name or by budget:
  python3 -m omni_emformer.sweep --exp-dir exp/synthetic/omni --subnets front/12
  python3 -m omni_emformer.sweep --exp-dir exp/synthetic/omni --max-params 0.8e6

Every option of decoding that says which weights, which data and on which machine may follow:
--epoch, --avg, --data-dir, --device and so on. Writes to <exp-dir>/search: front.json and
random.json (with the cost in their names if it is not params), search*.md and its plots, study.db
for optuna-dashboard, scores-*.jsonl, timings.json; and what the sweep writes.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from emformer.decoding import options as decode_options
from emformer.decoding.run import open_experiment
from emformer.errors import run_main
from emformer.experiment.logs import only_log_to_file
from emformer.options import Parser, fraction, positive_float, positive_int
from omni_emformer.search.costs import COSTS
from omni_emformer.search.page import write_page
from omni_emformer.search.results import choose, write_fronts
from omni_emformer.search.setup import Search
from omni_emformer.sweep.__main__ import main as sweep
from omni_plugin.search import SearchSettings


def get_parser() -> argparse.ArgumentParser:
    """The search's own options; the rest are decoding's."""
    parser = Parser(__doc__, "omni_emformer.search")
    default = SearchSettings()
    parser.add_argument("--exp-dir", type=Path, required=True, help="where training wrote")
    parser.add_argument("--lang-dir", type=Path, help="default: <data-dir>/lang_bpe_<V>")
    parser.add_argument("--cost", choices=COSTS, default="params", help="default: params")
    parser.add_argument(
        "--evaluations", type=positive_int, default=default.evaluations,
        help=f"sub-networks to try (default {default.evaluations})",
    )  # fmt: skip
    parser.add_argument(
        "--population", type=positive_int, default=default.population,
        help=f"of a generation (default {default.population})",
    )  # fmt: skip
    parser.add_argument(
        "--step", type=positive_float, default=0.05, help="between two levels (default 0.05)"
    )
    parser.add_argument(
        "--max-sparsity", type=fraction, help="of a weight (default: the highest in training)"
    )
    parser.add_old_spelling("--max-level", "--max-sparsity")
    parser.add_argument("--seed", type=int, default=default.seed, help="of what the search draws")
    parser.add_argument("--num-workers", type=positive_int, default=1, help="processes")
    parser.add_argument(
        "--budgets", type=fraction, nargs="*", default=[0.3, 0.2, 0.1], metavar="SHARE",
        help="shares of the covered weights that may remain (default 0.3 0.2 0.1); what is best "
        "for each is decoded on the test splits",
    )  # fmt: skip
    return parser


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, argparse.Namespace]:
    """The search's options, and decoding's."""
    args, rest = get_parser().parse_known_args(words)
    parser = decode_options.get_parser(None)
    parser.prog, parser.usage = "python3 -m omni_emformer.search", "%(prog)s --exp-dir E [options]"
    options = parser.parse_args([*rest, "--exp-dir", str(args.exp_dir)])
    options.rest = rest
    return args, options


def _work(args: argparse.Namespace, options: argparse.Namespace, worker: int) -> None:
    """Another process of a search, whose results the first one has."""
    open_experiment(args.exp_dir, f"search-{worker}")
    only_log_to_file()
    sys.exit(run_main(lambda: Search(args, options).run(worker) and None))


def main(words: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if words is None else words)
    args, options = parse(words)
    open_experiment(args.exp_dir, "search")
    # Before the others, which need the times that it measures.
    search = Search(args, options)
    logging.info(search.data.describe())
    spawn = multiprocessing.get_context("spawn")
    others = [
        spawn.Process(target=_work, args=(args, options, worker), daemon=True)
        for worker in range(1, args.num_workers)
    ]
    for process in others:
        process.start()
    found = search.run(0)
    for process in others:
        process.join()
    fronts = write_fronts(args.exp_dir, search, found)
    chosen = choose(search, fronts, args.budgets)
    if chosen:
        tested = dict.fromkeys(name for one in chosen for name in one.names.values())
        sweep(["--exp-dir", str(args.exp_dir), *options.rest, "--subnets", *tested])
    command = shlex.join(["python3", "-m", "omni_emformer.search", *words])
    print(f"wrote {write_page(args.exp_dir, search, found, fronts, chosen, command)}")


if __name__ == "__main__":
    sys.exit(run_main(main))
