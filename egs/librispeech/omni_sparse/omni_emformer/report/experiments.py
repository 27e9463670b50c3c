# SPDX-License-Identifier: Apache-2.0
"""What the files of an experiment's folder tell, for a report."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emformer.errors import RecipeError
from emformer.experiment.description import read_environment, training_command
from emformer.experiment.metrics_log import read_records
from emformer.scoring.bootstrap import errors_of
from emformer.scoring.references import (
    fingerprint,
    read_texts,
    references_of,
    with_newest_references,
)
from emformer.scoring.results import DENSE, Result, read_results
from omni_emformer.report.conditions import Conditions, read_conditions
from omni_emformer.supernet.system_file import read_system
from omni_emformer.sweep.record import read_sweep

# Names of validation losses in metrics.jsonl: of the model itself, and of its sub-networks of fewer
# units, of a sparsity, or both.
_LOSS = re.compile(r"pruned_loss(?:_(full|units-\d+))?(?:_sparsity-(.+))?$")


@dataclass(frozen=True)
class Scores:
    """Utterances in the order of their names: words of the references, and wrong words.

    Args:
      references: Their fingerprint.
    """

    ids: tuple[str, ...]
    words: np.ndarray
    errors: np.ndarray
    references: str


@dataclass(frozen=True)
class Experiment:
    """An experiment's folder.

    Args:
      folder: Its path.
      results: The last of each cell, all of the checkpoint that was decoded last.
    """

    folder: Path
    results: list[Result]

    @functools.cached_property
    def conditions(self) -> Conditions | None:
        """How it was trained; see :func:`read_conditions`."""
        return read_conditions(self.folder)

    @property
    def newest(self) -> Result:
        return self.results[-1]

    @functools.cached_property
    def _environment(self) -> dict[str, str]:
        return read_environment(self.folder)

    @property
    def revision(self) -> str:
        """Of the code that trained it."""
        return self._environment.get("git_revision", "unknown")

    @property
    def versions(self) -> dict[str, str]:
        """Of Python and the packages that trained it; empty where nothing tells them."""
        return {k: v for k, v in self._environment.items() if k != "git_revision"}

    @property
    def goes_on(self) -> bool:
        """Whether its training went on from another's: a step of a chain."""
        return "chain" in read_system(self.folder)

    @property
    def around(self) -> str:
        """The chain that it grows around; empty where it grows around none."""
        return read_system(self.folder).get("chain", {}).get("around", "")

    @property
    def core(self) -> float:
        """The level of that chain's network that it grows around."""
        return read_system(self.folder).get("chain", {}).get("core", 0.0)

    @property
    def level(self) -> float:
        """The level that it was trained for, 0 where for none or for many."""
        return read_system(self.folder).get("level") or 0.0

    def coverage(self, system: str) -> dict | None:
        """What the sweep's pattern covers: ``pattern``, ``num_weights``, ``num_params``."""
        return read_sweep(self.folder)["coverage"].get(system)

    def commands(self) -> list[str]:
        """The commands that trained and swept it."""
        return training_command(self.folder) + read_sweep(self.folder)["commands"]

    def validation(self) -> dict[str, tuple[list[int], list[float]]]:
        """Updates and validation losses by sub-network, as training went: see :func:`losses`."""
        return losses(read_records(self.folder / "metrics.jsonl"))

    def scores(self, result: Result) -> Scores | None:
        """The texts behind a result; None if the file is gone or holds another decoding's."""
        found = read_texts(self.folder, result)
        if found is None:
            return None
        found = sorted(found)
        words = np.array([len(u.ref) for u in found])
        references = fingerprint((u.id, u.ref) for u in found)
        return Scores(tuple(u.id for u in found), words, errors_of(found), references)

    def references(self, result: Result) -> str:
        """Fingerprint of what a result was scored against; empty where nothing tells it."""
        return references_of(self.folder, result)


def read_experiment(folder: Path) -> Experiment:
    """Read the results of an experiment.

    Raises:
      RecipeError: There are none.
    """
    path = folder / "results.jsonl"
    results = read_results(path)
    if not results:
        raise RecipeError(f"{path} has no result; decode first (stages 7, 8 and 10)")
    kept = [r for r in results if _training(r) == _training(results[-1])]
    if len(kept) < len(results):
        logging.warning(
            f"{path}: {len(results) - len(kept)} results of other checkpoints than "
            f"{results[-1].checkpoint}, which was decoded last, are left out"
        )
    # The same checkpoint may have been decoded with other averaging or pruned by other rules.
    weights = {(r.system, r.subnet): r.weights for r in kept}
    kept = [r for r in kept if r.weights == weights[r.system, r.subnet]]
    newest = {_cell(r): r for r in with_newest_references(folder, kept)}
    return Experiment(folder, list(newest.values()))


def _training(r: Result) -> tuple:
    """Two trainings never take the same time to all digits."""
    return (Path(r.checkpoint).name, r.seed, r.train_updates, r.train_seconds)


def _cell(r: Result) -> tuple:
    return (r.system, r.subnet, r.split, r.mode, r.method, r.settings_text)


def losses(records: Sequence[dict]) -> dict[str, tuple[list[int], list[float]]]:
    """Validation losses over updates, by sub-network as in results, the whole model first.

    Where an interrupted stretch was run again, the newer value counts.
    """
    found: dict[str, dict[int, float]] = {}
    for record in records:
        for name, value in record.items():
            match = _LOSS.match(name)
            if match and record.get("group") == "valid":
                parts = [part for part in match.groups() if part not in (None, "full", "0.00")]
                found.setdefault("_".join(parts) or DENSE, {})[record["update"]] = value
    order = sorted(found, key=lambda name: (name != DENSE, name))
    return {
        name: (sorted(found[name]), [found[name][update] for update in sorted(found[name])])
        for name in order
    }
