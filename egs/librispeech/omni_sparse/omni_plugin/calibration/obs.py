# SPDX-License-Identifier: Apache-2.0
"""The order in which blocks are best removed: greedy Optimal Brain Surgeon."""

from __future__ import annotations

import torch
from torch import Tensor

from omni_plugin.calibration.least_squares import damping_of, factor
from omni_plugin.patterns import NMPattern, Pattern

# Rounds of a removal: few enough that most of the time goes into large products.
_ROUNDS = 32
# Bytes for the groups that are worked on at once.
_MEMORY = 128e6
# Share of removed blocks whose columns are carried along before they are let go.
_SLACK = 3
_INFINITE = float("inf")


def obs_scores(weight: Tensor, gram: Tensor, pattern: Pattern, damping: float) -> Tensor:
    """Scores of blocks whose order within a group of rows is that of a greedy removal.

    Hassibi and Stork (1993), for blocks as in Frantar and Alistarh, "Optimal Brain Compression"
    (2022): of the blocks b left in a group of rows, remove the one of the least
    ``tr W_b ([H^-1]_bb)^-1 W_b'``, by which the squared error of the outputs grows once the others
    have made good for it as well as they can; then do so: W less ``W_b ([H^-1]_bb)^-1 [H^-1]_b:``,
    and ``H^-1`` less ``[H^-1]_:b ([H^-1]_bb)^-1 [H^-1]_b:``. A score is the largest of these errors
    up to the block's removal, so that any threshold removes a head of the order.

    The inverse of a group is never made: it is the one of all less ``L'L``, with a row of L for
    each removed column. Several blocks are removed a round (the 32nd part); within the round, the
    order is that of exact updates among twice as many candidates.

    Args:
      weight: Of shape ``(O, I)``, in float64.
      gram: Second moments of its inputs, of shape ``(I, I)``.
      pattern: Forms the blocks; of N:M, no more than M - N of M are removed, and the others have
        infinite scores.
      damping: See :func:`least_squares`; H is ``gram`` with it on the diagonal.

    Returns:
      Of the shape ``(G, H)`` of the pattern's grid, in float64.
    """
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    inverse = torch.cholesky_inverse(factor(gram + damping_of(gram, damping) * identity))
    blocks = pattern.blocks(weight)
    groups, _, number, cols = blocks.shape
    size = number * cols
    inverse = inverse[:size, :size]  # what is in no block stays, and makes good, too
    at_once = int(min(groups, max(1, _MEMORY // (size**2 * 8 / 3))))
    limit = (pattern.m, pattern.m - pattern.n) if isinstance(pattern, NMPattern) else None
    parts = [_Removal(part, inverse, limit).run() for part in blocks.split(at_once)]
    return torch.cat(parts)


class _Removal:
    """Removes the blocks of some groups of rows, all groups in step.

    g: groups, R: rows of a block, c: its columns, h: blocks that have columns here, some of them
    removed already (``dead``), K: columns removed so far.

    Args:
      blocks: Weights of shape ``(g, R, H, c)``.
      inverse: ``H^-1`` of shape ``(Hc, Hc)``, of all groups.
      limit: ``(M, most)``: of M blocks side by side, so many are removed at most.
    """

    def __init__(self, blocks: Tensor, inverse: Tensor, limit: tuple[int, int] | None) -> None:
        self.weight, self.inverse, self.limit = blocks.clone(), inverse, limit
        g, _, h, c = blocks.shape
        self.cols = c
        self.ids = torch.arange(h, device=blocks.device).expand(g, h)  # numbers of the blocks
        self.dead = torch.zeros(g, h, dtype=torch.bool, device=blocks.device)
        by_block = inverse.view(h, c, h, c)
        self.diagonal = by_block.diagonal(dim1=0, dim2=2).permute(2, 0, 1).expand(g, h, c, c)
        self.step = max(1, h // _ROUNDS)
        self.removed = 0  # blocks
        self._lower = blocks.new_empty(g, h * c, self._room(h))  # L'
        self.scores = blocks.new_full((g, h), _INFINITE)
        self.worst = blocks.new_zeros(g)
        self.total = h
        if limit is not None:
            m, most = limit
            self.total = h // m * most
            self.room = torch.full((g, h // m), most, device=blocks.device)

    @property
    def lower(self) -> Tensor:
        """``L'`` of shape ``(g, h * c, K)``."""
        return self._lower[:, :, : self.removed * self.cols]

    def _room(self, number: int) -> int:
        """Columns that are removed until ``number`` blocks are compacted the next time."""
        return (number // _SLACK + 2 * self.step) * self.cols

    def run(self) -> Tensor:
        while self.removed < self.total:
            self._remove(min(self.step, self.total - self.removed))
            if int(self.dead[0].sum()) > self.dead.size(1) // _SLACK:
                self._compact()
        return self.scores

    def _remove(self, count: int) -> None:
        """Remove ``count`` blocks of each group."""
        chosen = self._choose(self._candidates(count), count)
        columns = _columns(chosen, self.cols)
        rows, here = _columns(self.ids.gather(1, chosen), self.cols), _columns(self.ids, self.cols)
        row = self.inverse[rows[:, :, None], here[:, None, :]]
        row.baddbmm_(_take(self.lower, columns), self.lower.transpose(1, 2), alpha=-1)
        pivot, bad = torch.linalg.cholesky_ex(_pick(row, columns))
        if bad.any():  # by rounding, and then next to nothing is left of these columns
            pivot = _nearest_factor(_pick(row, columns), 1e-12 * self.inverse.diagonal().mean())
        lower = torch.linalg.solve_triangular(pivot, row, upper=False)
        weight = self.weight.flatten(2)
        change = torch.linalg.solve_triangular(
            pivot, _pick(weight, columns).transpose(1, 2), upper=False
        )
        weight.baddbmm_(change.transpose(1, 2), lower, alpha=-1)
        by_block = lower.unflatten(2, (-1, self.cols))
        if self.cols == 1:
            self.diagonal = self.diagonal - by_block.square().sum(1)[..., None]
        else:
            self.diagonal = self.diagonal - torch.einsum("gkhi,gkhj->ghij", by_block, by_block)
        self.dead.scatter_(1, chosen, True)
        before = self.removed * self.cols
        self._lower[:, :, before : before + lower.size(1)] = lower.transpose(1, 2)
        self.removed += count

    def _candidates(self, count: int) -> Tensor:
        """Blocks with the least scores as they are now, of shape ``(g, candidates)``."""
        scores = _errors(self.weight, self.diagonal).masked_fill(self.dead, _INFINITE)
        number = 2 * count
        if self.limit is not None:
            full = self.room.gather(1, self.ids // self.limit[0]) == 0
            scores = scores.masked_fill(full, _INFINITE)
            number = self.limit[0] * count  # among so many, so many at least may be removed
        return scores.topk(min(number, scores.size(1)), largest=False).indices

    def _choose(self, candidates: Tensor, count: int) -> Tensor:
        """The first ``count`` of the candidates by exact removal among them, in this order."""
        g, m = candidates.shape
        c, groups = self.cols, torch.arange(g, device=candidates.device)
        ids = self.ids.gather(1, candidates)
        columns, here = _columns(ids, c), _columns(candidates, c)
        lower = _take(self.lower, here)
        inverse = self.inverse[columns[:, :, None], columns[:, None, :]]
        inverse = inverse.baddbmm_(lower, lower.transpose(1, 2), alpha=-1).view(g, m, c, m, c)
        weight = _pick(self.weight.flatten(2), here).unflatten(2, (m, c))
        barred = self.dead.gather(1, candidates)
        chosen = []
        for number in range(count):
            if self.limit is not None:
                barred = barred | (self.room.gather(1, ids // self.limit[0]) == 0)
            diagonal = inverse.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
            errors = _errors(weight, diagonal).masked_fill_(barred, _INFINITE)
            error, which = errors.min(1)
            row = inverse[groups, which].flatten(2)
            solved = _divide(row, inverse[groups, which, :, which])
            _subtract(weight.flatten(2), weight[groups, :, which].transpose(1, 2), solved)
            _subtract(inverse.view(g, m * c, m * c), row, solved)
            barred = barred.scatter(1, which[:, None], True)
            chosen.append(candidates[groups, which])
            self._note(ids[groups, which], error, self.removed + number)
        return torch.stack(chosen, 1)

    def _note(self, ids: Tensor, error: Tensor, number: int) -> None:
        """Write the scores of blocks that are removed, so many after the first."""
        self.worst = torch.maximum(self.worst, error)
        # Ties within a group in the order of removal.
        score = self.worst * (1 + 1e-9 * number)
        self.scores[torch.arange(len(ids), device=ids.device), ids] = score
        if self.limit is not None:
            group = ids[:, None] // self.limit[0]
            self.room.scatter_add_(1, group, torch.full_like(group, -1))

    def _compact(self) -> None:
        """Let go of the columns of removed blocks."""
        g, alive = len(self.dead), ~self.dead
        kept = alive.nonzero()[:, 1].view(g, -1)
        columns = _columns(kept, self.cols)
        self.weight = _pick(self.weight.flatten(2), columns).unflatten(2, (-1, self.cols))
        shape = (*kept.shape, self.cols, self.cols)
        self.diagonal = self.diagonal.gather(1, kept[:, :, None, None].expand(shape))
        size = self.removed * self.cols
        lower = self._lower.new_empty(g, columns.size(1), size + self._room(kept.size(1)))
        lower[:, :, :size] = _take(self.lower, columns)
        self._lower = lower
        self.ids, self.dead = self.ids.gather(1, kept), self.dead.gather(1, kept)


def _errors(weight: Tensor, diagonal: Tensor) -> Tensor:
    """``tr W_b D_b^-1 W_b'``, ``(g, h)``, of weights ``(g, R, h, c)`` and D ``(g, h, c, c)``."""
    if weight.size(3) == 1:
        return weight.square().sum(1)[..., 0] / diagonal[..., 0, 0].clamp_min(1e-300)
    by_block = weight.permute(0, 2, 3, 1)
    # Blocks that were removed are singular, and nobody looks at their errors.
    solved, _ = torch.linalg.solve_ex(diagonal, by_block)
    return (by_block * solved).sum((2, 3))


def _divide(row: Tensor, pivot: Tensor) -> Tensor:
    """``pivot^-1 row`` of a row ``(g, c, n)`` and pivots ``(g, c, c)``."""
    if row.size(1) == 1:
        return row / pivot.clamp_min(1e-300)
    return torch.linalg.solve(pivot, row)


def _subtract(matrix: Tensor, left: Tensor, right: Tensor) -> None:
    """Take ``left' right`` of ``(g, c, n)`` and ``(g, c, m)`` from ``(g, n, m)``, in place."""
    if left.size(1) == 1:
        matrix.addcmul_(left.transpose(1, 2), right, value=-1)
    else:
        matrix.baddbmm_(left.transpose(1, 2), right, alpha=-1)


def _nearest_factor(matrices: Tensor, least: Tensor) -> Tensor:
    """Cholesky factors of matrices ``(g, n, n)`` with eigenvalues of ``least`` or more."""
    values, vectors = torch.linalg.eigh(matrices)
    fixed = (vectors * values.clamp_min(least)[:, None]) @ vectors.transpose(1, 2)
    return torch.linalg.cholesky(fixed)


def _columns(blocks: Tensor, cols: int) -> Tensor:
    """Numbers of the columns of blocks ``(g, k)``: ``(g, k * cols)``."""
    if cols == 1:
        return blocks
    return (blocks[..., None] * cols + torch.arange(cols, device=blocks.device)).flatten(1)


def _pick(matrices: Tensor, columns: Tensor) -> Tensor:
    """Columns ``(g, k)`` of matrices ``(g, n, m)``: ``(g, n, k)``."""
    return matrices.gather(2, columns[:, None].expand(-1, matrices.size(1), -1))


def _take(matrices: Tensor, rows: Tensor) -> Tensor:
    """Rows ``(g, k)`` of matrices ``(g, n, m)``: ``(g, k, m)``."""
    return matrices[torch.arange(len(rows), device=rows.device)[:, None], rows]
