# SPDX-License-Identifier: Apache-2.0
"""Random lattices for the tests of the recursion."""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = ("regular", "modified")
#: Utterances, symbols, frames: one arc, a batch, more frames than the kernel's fewest lanes, no
#: symbols.
SHAPES = ((1, 1, 1), (3, 4, 7), (2, 3, 140), (2, 0, 5))


def lattice(
    kind: str, n: int, s: int, t: int, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """px, py and boundary of utterances of several lengths; the last begins within its lattice."""
    g = torch.Generator().manual_seed(seed)
    px = (2 * torch.randn(n, s, t + (kind == "regular"), generator=g) - 3).to(dtype)
    py = (2 * torch.randn(n, s + 1, t, generator=g) - 2).to(dtype)
    boundary = torch.zeros(n, 4, dtype=torch.int64)
    boundary[:, 3] = torch.randint((t + 1) // 2, t + 1, (n,), generator=g)
    boundary[:, 2] = torch.randint(0, s + 1, (n,), generator=g).minimum(boundary[:, 3])
    boundary[0, 2], boundary[0, 3] = s, t
    if n > 1:
        boundary[-1, 0] = boundary[-1, 2] // 2
        boundary[-1, 1] = (boundary[-1, 3] - boundary[-1, 2]) // 2
    return px, py, boundary


def blocked(kind: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Three utterances: one with arcs that no path may take, one without any path, one whole."""
    px, py, boundary = lattice(kind, 3, 4, 9, dtype)
    px[0, 1, :4] = py[0, 2, 5] = -torch.inf
    boundary[1:] = torch.tensor([0, 0, 4, 9])
    px[1, 2] = -torch.inf
    return px, py, boundary


def cases() -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Lattices of all sorts, by name."""
    found = {}
    for kind in KINDS:
        for shape in SHAPES:
            found[f"{kind} {shape}"] = lattice(kind, *shape)
        found[f"{kind} blocked"] = blocked(kind)
        found[f"{kind} float64"] = lattice(kind, 2, 3, 9, torch.float64)
        # Views, whose rows are not as far apart as their sizes say.
        px, py, boundary = lattice(kind, 3, 4, 9)
        found[f"{kind} strided"] = (px[:, ::2], py[:, ::2], boundary.clamp(max=2))
    return found
