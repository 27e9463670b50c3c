# SPDX-License-Identifier: Apache-2.0
"""How an evolutionary search sees vectors: as a size and a shape.

Vectors as they are would not do. Of parents of different sizes, all children have sizes in between,
so the ends of the front die out; and what a small network has learnt of which layers matter says
nothing to a large one. Here size is one gene, and the others say how the shape differs from
uniform, in the same way at all sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from omni_plugin.search.guides import Guide
from omni_plugin.search.space import Space, Vector

if TYPE_CHECKING:
    from optuna.trial import Trial

_KEPT = "kept"


class Genes:
    """Vectors from genes: what is kept, how much of each guide's shape, and an offset an axis.

    Args:
      space: Of the vectors.
      guides: Shapes by name, each mixed into the uniform one as its gene says: 0 not at all, 1 in
        full.
      spread: Largest offset of an axis.
    """

    def __init__(self, space: Space, guides: Mapping[str, Guide], spread: float) -> None:
        self.space, self.guides, self.spread = space, dict(guides), spread

    def suggest(self, trial: Trial) -> Vector:
        """The vector of a trial's genes."""
        genes = {_KEPT: trial.suggest_float(_KEPT, 1 - self.space.max_size, 1.0, log=True)}
        genes |= {name: trial.suggest_float(name, 0.0, 1.0) for name in self.guides}
        for axis in self.space.axes:
            genes[axis.name] = trial.suggest_float(axis.name, -self.spread, self.spread)
        return self.vector(genes)

    def vector(self, genes: Mapping[str, float]) -> Vector:
        size = 1 - genes[_KEPT]
        shares = [size + genes[axis.name] for axis in self.space.axes]
        for name, guide in self.guides.items():
            pairs = zip(shares, guide.at(size), strict=True)
            shares = [share + genes[name] * (there - size) for share, there in pairs]
        return self.space.near(shares, size)

    def plain(self, size: float, guide: str | None = None) -> dict[str, float]:
        """Genes of a size without offsets, of a guide's shape or uniform."""
        genes = {_KEPT: min(max(1 - size, 1 - self.space.max_size), 1.0)}
        genes |= {name: float(name == guide) for name in self.guides}
        return genes | {axis.name: 0.0 for axis in self.space.axes}
