# SPDX-License-Identifier: Apache-2.0
"""Stage 10: decode every sub-network of a model, by every method, in every mode.

What results.jsonl holds already is not decoded again, so an interrupted sweep goes on when the
same command is run again, while another checkpoint is decoded anew: a result carries a
fingerprint of its weights. Each run of an encoder serves all methods.

A model that was trained without a supernet is pruned in one shot, by the settings of --system:
its level 0 is the model itself, the others are results of the system --one-shot-name.

Usage:
  python3 -m omni_emformer.sweep --exp-dir exp/synthetic/omni
  python3 -m omni_emformer.sweep --exp-dir exp/synthetic/dense \\
    --system conf/systems/one_shot.yaml \\
    --levels 0 0.5 0.9 --methods greedy_search modified_beam_search --modes simulated chunk-wise

Every option of emformer.streaming_decode that says which weights, which data, how to search and
on which machine may follow: --epoch, --avg, --data-dir, --beam-size, --device and so on.
Appends to <exp-dir>/results.jsonl, writes recogs, errs and wer-summary files as decoding does,
<exp-dir>/sweep.json (the commands, and what the pattern covers), and <exp-dir>/log/log-sweep-*.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import nn

from emformer import decode, streaming_decode
from emformer.asr_datamodule import AsrDataModule
from emformer.decode_model import DecodingInfo
from emformer.decode_options import search_settings
from emformer.decode_run import DecodingRun, open_experiment
from emformer.errors import RecipeError, run_main
from emformer.results import CHUNK_WISE, SIMULATED, Result, read_results, settings_text
from emformer.search import METHODS
from local.options import positive_float
from omni_emformer.subnet_options import add_system_option, open_subnets, parse_level
from omni_emformer.sweep_record import record_sweep
from omni_emformer.system_file import read_system
from omni_plugin.sweep import Cell, Job, Variant, grid, run_sweep

_FACTORS = {"k": 1e3, "M": 1e6, "G": 1e9}
_COSTS = ("params", "bytes", "macs", "chunk-ms")


def get_parser() -> argparse.ArgumentParser:
    """The sweep's own options; the rest are decoding's."""
    parser = argparse.ArgumentParser(
        prog="python3 -m omni_emformer.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--exp-dir", type=Path, required=True, help="where training wrote")
    parser.add_argument("--system-name", help="in results (default: as trained, see system.yaml)")
    add_system_option(parser)
    parser.add_argument(
        "--one-shot-name",
        default="one_shot",
        metavar="NAME",
        help="system of the pruned sub-networks of such a model in results (default one_shot)",
    )
    parser.add_argument(
        "--levels",
        "--subnet",
        type=parse_level,
        nargs="+",
        metavar="SPARSITY",
        help="or names: of sub-networks of fewer layers, such as units-4, or that a search found, "
        "such as front/3 (default: what was trained: 0, valid_levels and max_sparsity of the "
        "supernet's settings; all sizes)",
    )
    for cost in _COSTS:
        parser.add_argument(
            f"--max-{cost}", type=amount, metavar="N", help="also the best that a search found"
        )
    parser.add_argument(
        "--methods", nargs="+", choices=list(METHODS), default=["greedy_search"], metavar="METHOD"
    )
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


class _OneSplit(AsrDataModule):
    """Keeps the batches of the split loaded last, which a sweep decodes many times over."""

    _kept: tuple[tuple[str, float], list] | None = None

    def test_dataloader(self, split: str, max_duration: float = 300.0) -> list:
        if self._kept is None or self._kept[0] != (split, max_duration):
            self._kept = None  # frees the memory before it is filled anew
            batches = list(super().test_dataloader(split, max_duration))
            self._kept = ((split, max_duration), batches)
        return self._kept[1]


class ExperimentSweep:
    """The sweep of an experiment.

    Args:
      args: Options of :func:`get_parser`.
      options: Options of :func:`emformer.streaming_decode.get_parser`.

    Raises:
      RecipeError: There is no such experiment, checkpoint or split, or options disagree.
    """

    def __init__(self, args: argparse.Namespace, options: argparse.Namespace) -> None:
        self.args, self.options = args, options
        self.subnets = open_subnets(options, args.system)
        options.corpus = options.corpus or self.subnets.info.corpus
        self.data = _OneSplit.from_args(options)
        self.splits = list(dict.fromkeys(args.splits or self.data.test_splits()))
        for split in self.splits:
            if split not in self.data.corpus.splits:
                known = ", ".join(self.data.corpus.splits)
                raise RecipeError(f"--splits {split}: corpus {options.corpus} has {known}")
        self.methods = {
            name: settings_text(used) for name, used in search_settings(options).items()
        }
        levels = self._within_budget() + (args.levels or [])
        self.variants = self._make_variants(dict.fromkeys(levels or self.subnets.levels()))

    def _within_budget(self) -> list[str]:
        """The best sub-network of a search that costs no more than options say, if any does."""
        most = {name: getattr(self.args, f"max_{name.replace('-', '_')}") for name in _COSTS}
        budgets = {name: value for name, value in most.items() if value is not None}
        if not budgets:
            return []
        from omni_emformer.search_fronts import find_within  # needs optuna

        return [find_within(self.args.exp_dir, budgets, self.subnets.info.weights).name]

    def _make_variants(self, levels: Iterable[float]) -> dict[Variant, float]:
        """Networks and their levels, which results and files know by two decimals only."""
        variants: dict[Variant, float] = {}
        names: dict[str, float] = {}
        for level in levels:
            variant = self._variant(level)
            other = names.setdefault(variant.subnet, level)
            if other != level:
                raise RecipeError(
                    f"--levels {other} {level}: both are called {variant.subnet}; leave one out"
                )
            variants[variant] = level
        return variants

    def _variant(self, level: float) -> Variant:
        _, info = self.subnets.make(level)
        one_shot = self.subnets.one_shot and level != 0
        name = self.args.one_shot_name if one_shot else self.args.system_name
        return Variant(name, info.subnet, info.weights)

    def cells(self) -> list[Cell]:
        return grid(self.variants, self.splits, self.args.modes, self.methods.items())

    def decode(self, job: Job) -> list[str]:
        """Decode a job's cells; returns their WERs as text."""

        def load(_: argparse.Namespace) -> tuple[nn.Module, DecodingInfo]:
            return self.subnets.make(self.variants[job.variant])

        changes = {"system": job.variant.system, "method": job.methods, "splits": [job.split]}
        options = argparse.Namespace(**{**vars(self.options), **changes})
        run = DecodingRun(options, job.mode, load, self.data)
        module = streaming_decode if job.mode == CHUNK_WISE else decode
        module.decode_split(run, job.split)
        return [_wer_text(result) for result in run.results]


def _wer_text(r: Result) -> str:
    low, high = r.wer_ci95
    return f"WER {r.wer:5.2f} % [{low:5.2f}, {high:5.2f}]"


def cell_of(result: Result) -> Cell:
    """The cell that a line of results.jsonl is the result of.

    An older line names no weights, so it is no cell of any sweep.
    """
    variant = Variant(result.system, result.subnet, result.weights)
    return Cell(variant, result.split, result.mode, result.method, result.settings_text)


def done_cells(exp_dir: Path) -> set[Cell]:
    """Cells that results.jsonl has."""
    path = exp_dir / "results.jsonl"
    return {cell_of(result) for result in read_results(path)} if path.exists() else set()


def _decode_options(args: argparse.Namespace, rest: Sequence[str]) -> argparse.Namespace:
    parser = streaming_decode.get_parser()
    parser.prog, parser.usage = "python3 -m omni_emformer.sweep", "%(prog)s --exp-dir E [options]"
    for word in rest:
        for name in ("--method", "--decoding-method", "--compare-encoders"):
            if word == name or word.startswith(name + "="):
                parser.error(f"{name} is no option of the sweep; see --help")
    words = [*rest, "--exp-dir", str(args.exp_dir), "--method", *dict.fromkeys(args.methods)]
    return parser.parse_args(words)


def only_log_to_file() -> None:
    """Keep what each decoding says off the terminal, but for warnings."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING)


def main(argv: Iterable[str] | None = None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    args, rest = get_parser().parse_known_args(words)
    trained = read_system(args.exp_dir).get("name") or args.exp_dir.resolve().name
    args.system_name = args.system_name or trained
    options = _decode_options(args, rest)
    open_experiment(args.exp_dir, "sweep")
    only_log_to_file()
    sweep = ExperimentSweep(args, options)
    record_sweep(args.exp_dir, words, {v.system for v in sweep.variants}, sweep.subnets.coverage())

    def tell(line: str) -> None:
        logging.info(line)
        print(line, flush=True)

    run_sweep(sweep.cells(), done_cells(args.exp_dir), sweep.decode, tell)
    tell(f"results: {args.exp_dir}/results.jsonl")


if __name__ == "__main__":
    sys.exit(run_main(main))
