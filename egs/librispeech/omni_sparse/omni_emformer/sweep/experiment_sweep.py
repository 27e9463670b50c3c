# SPDX-License-Identifier: Apache-2.0
"""The sweep of an experiment: which cells there are, which are done, and how one is decoded."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import nn

from emformer import decode, streaming_decode
from emformer.data.asr_datamodule import AsrDataModule
from emformer.decoding.model import DecodingInfo
from emformer.decoding.options import search_settings
from emformer.decoding.references import References
from emformer.decoding.run import DecodingRun
from emformer.errors import RecipeError
from emformer.scoring.references import results_against
from emformer.scoring.results import CHUNK_WISE, DENSE, Result, settings_text
from omni_emformer.supernet.options import open_subnets
from omni_plugin.sweep import Cell, Job, Variant, grid

#: What a search can count, as the options --max-* name it.
COSTS = ("params", "bytes", "macs", "chunk-ms")


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
      args: Options of :func:`omni_emformer.sweep.__main__.get_parser`.
      options: Options of :func:`emformer.streaming_decode.get_parser`.

    Attributes:
      references: Fingerprint of each split's references.

    Raises:
      RecipeError: There is no such experiment, checkpoint or split, or options disagree.
    """

    def __init__(self, args: argparse.Namespace, options: argparse.Namespace) -> None:
        self.args, self.options = args, options
        self.subnets = open_subnets(options, args.system, args.overrides)
        options.corpus = options.corpus or self.subnets.info.corpus
        self.data = _OneSplit.from_args(options)
        self.splits = list(dict.fromkeys(args.splits or self.data.test_splits()))
        for split in self.splits:
            if split not in self.data.corpus.splits:
                known = ", ".join(self.data.corpus.splits)
                raise RecipeError(f"--splits {split}: corpus {options.corpus} has {known}")
        self.references = {
            split: References(split, self.data.cuts(split), self.subnets.info).fingerprint
            for split in self.splits
        }
        self.methods = {
            name: settings_text(used) for name, used in search_settings(options).items()
        }
        levels = self._within_budget() + (args.subnets or [])
        self.variants = self._make_variants(dict.fromkeys(levels or self.subnets.levels()))

    def _within_budget(self) -> list[str]:
        """The best sub-network of a search that costs no more than options say, if any does."""
        most = {name: getattr(self.args, f"max_{name.replace('-', '_')}") for name in COSTS}
        budgets = {name: value for name, value in most.items() if value is not None}
        if not budgets:
            return []
        from omni_emformer.supernet.fronts import find_within  # needs optuna

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
                    f"--subnets {other} {level}: both are called {variant.subnet}; leave one out"
                )
            variants[variant] = level
        return variants

    def _variant(self, level: float) -> Variant:
        _, info = self.subnets.make(level)
        one_shot = self.subnets.one_shot and level not in (0, DENSE)
        name = self.args.system_name
        if one_shot:
            name = self.args.one_shot_name or self.subnets.pruned_by.replace("-", "_")
        return Variant(name, info.subnet, info.weights)

    def cells(self) -> list[Cell]:
        return grid(self.variants, self.splits, self.args.modes, self.methods.items())

    def decode(self, job: Job) -> list[str]:
        """Decode a job's cells; returns their WERs as text."""

        def load(_: argparse.Namespace) -> tuple[nn.Module, DecodingInfo]:
            return self.subnets.make(self.variants[job.variant])

        changes = {"system_name": job.variant.system, "methods": job.methods, "splits": [job.split]}
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


def done_cells(exp_dir: Path, references: Mapping[str, str]) -> set[Cell]:
    """Cells that results.jsonl has, against these references (fingerprints by split)."""
    return {cell_of(r) for r in results_against(exp_dir, references)}
