# SPDX-License-Identifier: Apache-2.0
"""What a sweep consists of, and what is still missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class Variant:
    """A network of a sweep.

    Args:
      system: What tables call it.
      subnet: Which sub-network of the system.
      weights: What identifies its weights, such as a hash: another model has another one, so its
        cells are other cells.
    """

    system: str
    subnet: str
    weights: str


@dataclass(frozen=True)
class Cell:
    """One figure of a sweep: a network on a split of the data by a method in a mode.

    Args:
      variant: The network.
      split, mode, method: What is decoded and how.
      settings: Of the method, as text. Other settings make another cell.
    """

    variant: Variant
    split: str
    mode: str
    method: str
    settings: str = ""


@dataclass(frozen=True)
class Job:
    """Cells that one run of a network gives: those which differ in the method only.

    Args:
      cells: At least one.
    """

    cells: tuple[Cell, ...]

    @property
    def variant(self) -> Variant:
        return self.cells[0].variant

    @property
    def split(self) -> str:
        return self.cells[0].split

    @property
    def mode(self) -> str:
        return self.cells[0].mode

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(cell.method for cell in self.cells)


def grid(
    variants: Iterable[Variant],
    splits: Iterable[str],
    modes: Iterable[str],
    methods: Iterable[tuple[str, str]],
) -> list[Cell]:
    """Every combination, once.

    Split by split, so that only one split's data need be held at a time, and all networks of a
    mode before the next mode.

    Args:
      variants, splits, modes: What is combined.
      methods: Each with its settings.

    >>> one = Variant("omni", "0.50", "8f3a")
    >>> methods = [("greedy", ""), ("beam", "size 4")]
    >>> [cell.method for cell in grid([one], ["test"], ["streaming"], methods)]
    ['greedy', 'beam']
    """
    variants, modes, methods = list(variants), list(modes), list(methods)
    cells = [
        Cell(variant, split, mode, method, settings)
        for split in splits
        for mode in modes
        for variant in variants
        for method, settings in methods
    ]
    return list(dict.fromkeys(cells))


def plan(cells: Sequence[Cell], done: Collection[Cell]) -> list[Job]:
    """The cells that are not done, in order, with neighbours of one run of a network together."""
    missing = [cell for cell in cells if cell not in done]
    runs = groupby(missing, key=lambda cell: (cell.variant, cell.split, cell.mode))
    return [Job(tuple(found)) for _, found in runs]
