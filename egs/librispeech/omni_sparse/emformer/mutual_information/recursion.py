# SPDX-License-Identifier: Apache-2.0
"""Scores of lattices and the occupation of their arcs, as k2's ``mutual_information_recursion``.

k2 and fast_rnnt compute everything else of a pruned RNN-T loss with torch operations; this is the
one part for which they need compiled CUDA code. Here it is two tables of log-probabilities,

* ``before[s, t]``, of all paths from the start of the lattice to cell ``(s, t)``, and
* ``after[s, t]``, of all paths from there to its end,

which do not depend on each other and are made in one go, by a Triton kernel
(:mod:`.triton_tables`) or, where there is none, by torch operations (:mod:`.torch_tables`). An
arc's occupation, the gradient of the score, follows arc by arc (Graves, "Sequence transduction
with recurrent neural networks", 2012, section 2.4).

Letters in shapes: N utterances, S symbols, T frames; T' is T + 1 for ``regular`` lattices, where
a symbol takes no frame, and T for ``modified`` and ``constrained`` ones, where it takes one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emformer.mutual_information import torch_tables
from emformer.mutual_information.triton_check import why_no_triton


def make_tables(px: Tensor, py: Tensor, boundary: Tensor, both: bool) -> Tensor:
    """The table ``before`` and, if ``both``, ``after``: of shape ``(1 or 2, N, S + 1, T + 1)``.

    Cells outside an utterance's boundary are -infinity.
    """
    if px.is_cuda and not why_no_triton():
        from emformer.mutual_information import triton_tables

        return triton_tables.make_tables(px, py, boundary, both)
    return torch_tables.make_tables(px, py, boundary, both)


def occupation(px: Tensor, py: Tensor, before: Tensor, after: Tensor, scores: Tensor):
    """The probabilities that a path takes each arc, in the shapes of ``px`` and ``py``.

    Every path crosses every frame once (and, in a regular lattice, every symbol), so what crosses
    sums to 1. Dividing by the sum takes away most of the rounding of the tables, whose entries are
    hundreds of times as large as their differences. All 0 where no path reaches the end.
    """
    frames, step = px.size(2), py.size(2) + 1 - px.size(2)  # a symbol takes `step` frames
    # Where no path reaches the end every sum below is -infinity: less nothing, it stays that.
    scores = scores.masked_fill(scores == -torch.inf, 0.0).reshape(-1, 1, 1)
    x = (before[:, :-1, :frames] + px + after[:, 1:, step:] - scores).exp()
    y = (before[:, :, :-1] + py + after[:, :, 1:] - scores).exp()
    if step:
        x_sums = y_sums = x.sum(1, keepdim=True) + y.sum(1, keepdim=True)
    else:
        x_sums, y_sums = x.sum(2, keepdim=True), y.sum(1, keepdim=True)
    return x / x_sums.masked_fill(x_sums == 0, 1.0), y / y_sums.masked_fill(y_sums == 0, 1.0)


class _Recursion(torch.autograd.Function):
    @staticmethod
    def forward(ctx, px: Tensor, py: Tensor, boundary: Tensor, return_grad: bool):
        both = return_grad or any(ctx.needs_input_grad)
        tables = make_tables(px, py, boundary, both)
        last = boundary[:, 2] * tables.size(3) + boundary[:, 3]
        scores = tables[0].flatten(1).gather(1, last.unsqueeze(1)).squeeze(1)
        if not both:
            return scores, None, None
        px_grad, py_grad = occupation(px, py, *tables, scores)
        ctx.save_for_backward(px_grad, py_grad)
        ctx.mark_non_differentiable(px_grad, py_grad)
        return scores, px_grad, py_grad

    @staticmethod
    @once_differentiable
    def backward(ctx, scores_grad: Tensor, *_):
        px_grad, py_grad = ctx.saved_tensors
        scores_grad = scores_grad.reshape(-1, 1, 1)
        return px_grad * scores_grad, py_grad * scores_grad, None, None


def mutual_information_recursion(
    px: Tensor, py: Tensor, boundary: Tensor | None = None, return_grad: bool = False
) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
    """Log-probability of all paths through each lattice; arguments and result are k2's.

    Nothing is read back from the device, so the host does not wait for it: that ``boundary`` lies
    within the lattice is not checked. Half-precision input is widened to float32, float64 stays.

    Args:
      px: Log-probabilities of the symbols, of shape ``(N, S, T')``: from cell ``(s, t)`` to
        ``(s + 1, t)`` if regular, else to ``(s + 1, t + 1)``.
      py: Log-probabilities of blank, of shape ``(N, S + 1, T)``: from ``(s, t)`` to ``(s, t + 1)``.
      boundary: ``[first symbol, first frame, end of symbols, end of frames]`` of each utterance,
        int64 of shape ``(N, 4)``; default ``[0, 0, S, T]``.
      return_grad: Return the occupation, too.

    Returns:
      Scores of shape ``(N,)``, -infinity where no path reaches the end; with ``return_grad`` also
      the probabilities that a path takes each arc, in the shapes of ``px`` and ``py``, which have
      no gradient themselves.

    Raises:
      ValueError: The shapes or types do not fit together.
    """
    if px.ndim != 3 or py.ndim != 3:
        raise ValueError(f"px and py have 3 dimensions, not {px.ndim} and {py.ndim}")
    n, s, t_px = px.shape
    t = py.size(2)
    if t_px not in (t, t + 1) or py.shape != (n, s + 1, t):
        raise ValueError(f"px {tuple(px.shape)} and py {tuple(py.shape)} are of no one lattice")
    if px.dtype != py.dtype:
        raise ValueError(f"px is {px.dtype}, py {py.dtype}")
    if boundary is None:
        boundary = torch.tensor([0, 0, s, t], device=px.device).expand(n, 4)
    if boundary.shape != (n, 4) or boundary.dtype != torch.int64:
        shape = tuple(boundary.shape)
        raise ValueError(f"boundary is int64 of shape ({n}, 4), not {boundary.dtype} of {shape}")
    if px.dtype in (torch.float16, torch.bfloat16):
        px, py = px.float(), py.float()
    scores, px_grad, py_grad = _Recursion.apply(px, py, boundary, return_grad)
    return (scores, (px_grad, py_grad)) if return_grad else scores
