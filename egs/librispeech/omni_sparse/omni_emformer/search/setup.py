# SPDX-License-Identifier: Apache-2.0
"""A search made ready from its options."""

from __future__ import annotations

import argparse
import hashlib
import logging
import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from emformer.data.asr_datamodule import AsrDataModule
from emformer.errors import RecipeError
from omni_emformer.search.costs import make_costs
from omni_emformer.search.data import SearchData
from omni_emformer.search.measure import LOSS, WER, SearchMeasure
from omni_emformer.supernet.fronts import FOLDER, coverage_of
from omni_emformer.supernet.subnets import Subnets
from omni_plugin import OmniError
from omni_plugin.search import (
    Evaluator,
    Found,
    ParetoSearch,
    Rung,
    SearchSettings,
    Vector,
    magnitude_chain,
    space_of,
)


class Search:
    """A search of an experiment's supernet.

    Args:
      args: Options of :func:`omni_emformer.search.__main__.get_parser`.
      options: Options of decoding.

    Attributes:
      subnets, data: Of the experiment.
      costs: Of a vector, by name.
      cost: The one that is searched by.
      space: What is searched.
      made_of: What scores depend on, as text by name.

    Raises:
      RecipeError: The experiment has no supernet, or options do not fit it.
    """

    def __init__(self, args: argparse.Namespace, options: argparse.Namespace) -> None:
        shared = max(1, torch.get_num_threads() // args.num_workers)
        torch.set_num_threads(options.num_threads or shared)
        self._workers = args.num_workers
        self.subnets = Subnets(options)
        model, info, supernet = self.subnets.model, self.subnets.info, self.subnets.supernet
        if supernet is None:
            raise RecipeError(f"{info.checkpoint} holds no supernet; there is nothing to search")
        folder = args.exp_dir / FOLDER
        folder.mkdir(exist_ok=True)
        self.costs = make_costs(supernet, model, folder / "timings.json")
        self.cost = self.costs[args.cost]
        device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        options.corpus = options.corpus or info.corpus
        corpus = AsrDataModule.from_args(options)
        self.data = SearchData(corpus, info.config, info.tokens, args.lang_dir, device)
        self.made_of = {
            "weights": info.weights,
            "coverage": coverage_of(supernet),
            "data": self.data.fingerprint,
        }
        digest = hashlib.sha256(repr(sorted(self.made_of.items())).encode()).hexdigest()[:16]
        measure = SearchMeasure(self._running, model.to(device), info, self.data)
        evaluator = Evaluator(measure, folder / f"scores-{digest}.jsonl", self._after)
        whole = len(self.data.parts)
        rungs = list(dict.fromkeys([Rung(LOSS, 1), Rung(LOSS, whole), Rung(WER, whole)]))
        settings = SearchSettings(args.evaluations, args.population, seed=args.seed)
        try:
            trained = self.subnets.settings.max_layer_sparsity or None
            self.space = space_of(supernet, args.step, args.max_sparsity or trained)
            self.pareto = ParetoSearch(
                self.space,
                self.cost,
                evaluator,
                rungs,
                magnitude_chain(self.space, supernet),
                settings,
                folder,
                self.made_of,
                logging.info,
            )
        except OmniError as e:
            raise RecipeError(str(e)) from e

    def run(self, worker: int) -> dict[str, Found]:
        """What each method has found; ``worker`` is this process's number among the search's.

        Raises:
          RecipeError: The folder has a search of something else.
        """
        try:
            return self.pareto.run(worker, self._workers)
        except OmniError as e:
            raise RecipeError(str(e)) from e

    @contextmanager
    def _running(self, vector: Vector) -> Iterator[None]:
        supernet = self.subnets.supernet
        supernet.set_active_subnet(vector)
        with supernet.masked():
            yield

    def _after(self, number: int) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            sys.exit(1)
        if number % 100 == 0:
            logging.info(f"{number} measurements by this process")
