# SPDX-License-Identifier: Apache-2.0
"""Decodes many sparsities with a recipe's own script; word error rates go to results.jsonl."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from omni_plugin.errors import OmniError
from omni_plugin.icefall.bake import EPOCH, Baker
from omni_plugin.icefall.scripts import run_script
from omni_plugin.sweep import Cell, Job, Variant, grid, run_sweep

# wer-summary-<split>-<suffix>.txt, or with underscores and the settings before the suffix.
_SUMMARY = re.compile(
    rf"wer-summary[-_](?P<split>.+?)(?:_(?P<key>.+?))?[-_](?P<suffix>epoch-{EPOCH}.*)\.txt"
)

_ASIDE = ".before"


@contextlib.contextmanager
def older_set_aside(folder: Path) -> Iterator[None]:
    """Hide the wer-summary files below a folder; those that are not written again come back."""
    for path in list(folder.rglob("wer-summary*.txt")):
        os.replace(path, path.with_name(path.name + _ASIDE))
    try:
        yield
    finally:
        for old in list(folder.rglob(f"wer-summary*.txt{_ASIDE}")):
            path = old.with_name(old.name.removesuffix(_ASIDE))
            if path.exists():
                old.unlink()
            else:
                os.replace(old, path)


def summaries(folder: Path) -> Iterator[dict[str, Any]]:
    """The word error rates in the wer-summary files below a folder.

    Args:
      folder: An experiment folder; icefall names its sub-folders after the method.

    Raises:
      OmniError: A file's name is none of icefall's.
    """
    for path in sorted(folder.rglob("wer-summary*.txt")):
        found = _SUMMARY.fullmatch(path.name)
        if not found:
            raise OmniError(f"{path}: no name of a wer-summary file of icefall")
        for line in path.read_text().splitlines()[1:]:
            settings, _, wer = line.rpartition("\t")
            method = path.parent.relative_to(folder).as_posix()
            yield {
                "split": found["split"],
                "method": method,
                "settings": settings,
                "suffix": found["suffix"],
                "wer": float(wer),
            }


class Sweep:
    """Levels of one supernet decoded by one script.

    Args:
      recipe, baker: What is decoded.
      folder: Where sub-networks, their results, and results.jsonl go.
      workarounds: See :data:`omni_plugin.icefall.workarounds.WORKAROUNDS`.
    """

    def __init__(
        self, recipe: Path, baker: Baker, folder: Path, workarounds: Sequence[str] = ()
    ) -> None:
        self.recipe, self.baker, self.folder = recipe, baker, folder
        self.workarounds = workarounds
        self.results = folder / "results.jsonl"
        self.system = recipe.resolve().name  # also of "." and of "zipformer/"
        # Other checkpoints, and another average of the same ones, are other weights.
        self.fingerprint = sha256(json.dumps(baker.made_of).encode()).hexdigest()[:16]

    def run(self, choices: Sequence[str], script: str, arguments: Sequence[str]) -> int:
        """Decode the levels that are not in results.jsonl; returns how many were.

        Raises:
          OmniError: The script fails or writes no wer-summary file.
        """
        subnets = {subnet.name: subnet for subnet in map(self.baker.subnet, choices)}
        variants = [Variant(self.system, name, self.fingerprint) for name in subnets]
        cells = grid(variants, ["all"], [script], [(script, shlex.join(arguments))])

        def decode(job: Job) -> list[str]:
            return [self._decode(cell, subnets[cell.variant.subnet]) for cell in job.cells]

        return run_sweep(cells, self._done(), decode)

    def _done(self) -> set[Cell]:
        if not self.results.exists():
            return set()
        records = map(json.loads, self.results.read_text().splitlines())
        return {
            Cell(
                Variant(record["system"], record["subnet"], record["weights"]),
                "all",
                record["script"],
                record["script"],
                record["arguments"],
            )
            for record in records
        }

    def _decode(self, cell: Cell, subnet: Any) -> str:
        folder = self.folder / subnet.name
        path = self.baker.write(subnet, folder)
        arguments = shlex.split(cell.settings)
        params = self.baker.params_of(subnet)
        with older_set_aside(folder):
            run_script(self.recipe, cell.mode, folder, params, arguments, self.workarounds)
            found = list(summaries(folder))
        weights = torch.load(path)["model"].values()
        said = {
            "system": cell.variant.system,
            "subnet": subnet.name,
            "weights": self.fingerprint,
            "checkpoint": str(self.baker.source.exp_dir / self.baker.source.name),
            "num_params": sum(w.numel() for w in weights),
            "num_nonzero": sum(int(torch.count_nonzero(w)) for w in weights),
            "script": cell.mode,
            "arguments": cell.settings,
        }
        records = [{**said, **one} for one in found]
        if not records:
            raise OmniError(f"{self.recipe / cell.mode} wrote no wer-summary file below {folder}")
        # All at once, so that an interrupted run leaves none.
        old = self.results.read_text() if self.results.exists() else ""
        part = self.results.with_suffix(".part")
        part.write_text(old + "".join(json.dumps(record) + "\n" for record in records))
        os.replace(part, self.results)
        return ", ".join(f"{r['split']} {r['settings']} {r['wer']:.2f}" for r in records)
