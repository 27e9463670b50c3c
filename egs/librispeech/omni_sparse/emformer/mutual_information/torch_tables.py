# SPDX-License-Identifier: Apache-2.0
"""The tables of the recursion by torch operations: two a diagonal, for all utterances at once.

Regular lattices go over anti-diagonals ``s + t``, the others frame by frame; each diagonal needs
only the one before it. ``after`` is ``before`` of the lattice turned by 180 degrees, so both are
one batch. For sources and letters see :mod:`.recursion`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def make_tables(px: Tensor, py: Tensor, boundary: Tensor, both: bool) -> Tensor:
    """See :func:`.recursion.make_tables`; on any device, float32 or float64."""
    n, s_max, t_max = px.size(0), px.size(1), py.size(2)
    regular = px.size(2) == t_max + 1
    diagonals = t_max + 1 + (s_max if regular else 0)
    first_s, first_t, end_s, end_t = boundary.reshape(n, 4, 1, 1).unbind(1)

    # Arcs by the cell they leave, and one shape for both kinds: (N, S + 1, T + 1).
    arcs_x = pad(px, (0, t_max + 1 - px.size(2), 0, 1), value=-torch.inf)
    arcs_y = pad(py, (0, 1), value=-torch.inf)

    # On diagonal k, (K, 1), the cell of symbol s, (1, S + 1), counted from the path's start.
    k = torch.arange(diagonals, device=px.device).unsqueeze(1)
    s = torch.arange(s_max + 1, device=px.device).unsqueeze(0)
    t = k - s if regular else k.expand(-1, s_max + 1)
    inside = (s <= end_s - first_s) & (t >= 0) & (t <= end_t - first_t)  # (N, K, S + 1)
    step = 0 if regular else 1

    def lay_out(arcs: Tensor, at_s: Tensor, at_t: Tensor, valid: Tensor) -> Tensor:
        """Arcs into each diagonal's cells, ``(K, N, S + 1)``."""
        index = at_s.clamp(0, s_max) * (t_max + 1) + at_t.clamp(0, t_max)
        found = arcs.flatten(1).gather(1, index.flatten(1)).reshape(valid.shape)
        return found.masked_fill(~valid, -torch.inf).transpose(0, 1)

    by_x, by_y = inside & (s > 0) & (t >= step), inside & (t > 0)
    into_x = [lay_out(arcs_x, first_s + s - 1, first_t + t - step, by_x)]
    into_y = [lay_out(arcs_y, first_s + s, first_t + t - 1, by_y)]
    if both:  # turned, an arc goes into the cell that it leaves
        into_x.append(lay_out(arcs_x, end_s - s, end_t - t, by_x))
        into_y.append(lay_out(arcs_y, end_s - s, end_t - t, by_y))
    # (K, 1 or 2, N, S + 1, 2)
    arcs = torch.stack([torch.stack(into_x, 1), torch.stack(into_y, 1)], -1)

    # One cell more in front, whose -infinity stands for symbol -1.
    table = px.new_full((diagonals, arcs.size(1), n, s_max + 2), -torch.inf)
    table[0, ..., 1] = 0.0
    for k in range(1, diagonals):
        # A window of two holds the cells of the symbol before and of this one.
        into = table[k - 1].unfold(-1, 2, 1) + arcs[k]
        torch.logaddexp(into[..., 0], into[..., 1], out=table[k, ..., 1:])
    return _by_cell(table, boundary, t_max, regular)


def _by_cell(table: Tensor, boundary: Tensor, t_max: int, regular: bool) -> Tensor:
    """Tables by diagonal, ``(K, 1 or 2, N, S + 2)``, as ``(1 or 2, N, S + 1, T + 1)``."""
    first_s, first_t, end_s, end_t = boundary.reshape(-1, 4, 1, 1).unbind(1)
    width = table.size(3)
    s = torch.arange(width - 1, device=table.device).reshape(1, -1, 1)
    t = torch.arange(t_max + 1, device=table.device).reshape(1, 1, -1)
    valid = (s >= first_s) & (s <= end_s) & (t >= first_t) & (t <= end_t)
    from_start, from_end = (s - first_s, t - first_t), (end_s - s, end_t - t)
    found = []
    for (at_s, at_t), one in zip((from_start, from_end), table.unbind(1), strict=False):
        diagonal = (at_s + at_t if regular else at_t).clamp(0, len(table) - 1)
        index = diagonal * width + at_s.clamp(0, width - 2) + 1
        cells = one.transpose(0, 1).flatten(1).gather(1, index.expand_as(valid).flatten(1))
        found.append(cells.reshape(valid.shape).masked_fill(~valid, -torch.inf))
    return torch.stack(found)
