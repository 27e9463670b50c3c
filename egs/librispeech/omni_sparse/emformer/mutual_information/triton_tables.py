# SPDX-License-Identifier: Apache-2.0
"""The tables of the recursion by one Triton kernel: a program for each table of an utterance.

A program goes from row to row (a row is a symbol's, over all frames), keeps the row in registers
and fills the next one by a scan. Along a row, with ``into`` what comes from the row before,

    cell[t] = log_add(into[t], cell[t - 1] + along[t]),

a first-order recurrence whose steps ``(into, along)`` join associatively (Blelloch, "Prefix sums
and their applications", 1990, section 1.4). So a lattice takes S + 1 scans of log2(T + 1) steps
instead of S + T diagonals. Where a symbol takes a frame (``modified``), row s begins s frames
later: then the cell that an arc comes from stands in the same lane, too.

Imports Triton, so only :mod:`.triton_check` and who asked it import this.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _log_add(a, b):
    """Of two -infinities -infinity; NaN if either is."""
    larger = tl.maximum(a, b) + tl.log(1.0 + tl.exp(-tl.abs(a - b)))
    return tl.where(a == b, a + 0.6931471805599453, larger)  # log 2


@triton.jit
def _join(into, along, next_into, next_along):
    return _log_add(into + next_along, next_into), along + next_along


# Every batch has another S and T: a kernel specialised on them would be compiled again and again.
@triton.jit(do_not_specialize=["S", "T"])
def _fill_rows(px, py, boundary, tables, S, T, STEP: tl.constexpr, LANES: tl.constexpr):
    """Program ``(n, 0)`` fills utterance n's ``before``, program ``(n, 1)`` its ``after``.

    ``STEP`` is how many frames a symbol takes, ``LANES`` a power of two above T. All tensors are
    contiguous, in the shapes of :mod:`.recursion`.
    """
    n = tl.program_id(0).to(tl.int64)  # offsets may pass 2^31
    turned = tl.program_id(1)  # 1: from the end of the lattice to its start
    first_s = tl.maximum(tl.load(boundary + 4 * n), 0).to(tl.int32)
    first_t = tl.maximum(tl.load(boundary + 4 * n + 1), 0).to(tl.int32)
    end_s = tl.minimum(tl.load(boundary + 4 * n + 2), S).to(tl.int32)
    end_t = tl.minimum(tl.load(boundary + 4 * n + 3), T).to(tl.int32)
    px += n * S * (T + 1 - STEP)
    py += n * (S + 1) * T
    tables += (turned * tl.num_programs(0) + n) * (S + 1) * (T + 1)

    lane = tl.arange(0, LANES)
    into = tl.where(lane == 0, 0.0, float("-inf")).to(px.dtype.element_ty)
    for row in range(0, end_s - first_s + 1):
        ahead = lane + STEP * row  # frames from where the paths begin
        inside = ahead <= end_t - first_t
        s = tl.where(turned == 1, end_s - row, first_s + row)
        t = tl.where(turned == 1, end_t - ahead, first_t + ahead)
        # Arcs are stored by the cell they leave: turned, that is the one they go into.
        from_s = s - 1 + turned
        at_x = from_s * (T + 1 - STEP) + t - STEP * (1 - turned)
        into += tl.load(px + at_x, mask=inside & (row > 0), other=0.0)
        at_y = s * T + t - 1 + turned
        along = tl.load(py + at_y, mask=inside & (lane > 0), other=float("-inf"))
        into, _ = tl.associative_scan((into, along), 0, _join)
        tl.store(tables + s * (T + 1) + t, into, mask=inside)


def make_tables(px: Tensor, py: Tensor, boundary: Tensor, both: bool) -> Tensor:
    """See :func:`.recursion.make_tables`; on CUDA, float32 or float64."""
    n, s_max, t_max = px.size(0), px.size(1), py.size(2)
    tables = px.new_full((2 if both else 1, n, s_max + 1, t_max + 1), -torch.inf)
    lanes = max(128, triton.next_power_of_2(t_max + 1))
    if n:
        with torch.cuda.device_of(px):
            _fill_rows[n, tables.size(0)](
                px.contiguous(),
                py.contiguous(),
                boundary.contiguous(),
                tables,
                s_max,
                t_max,
                STEP=t_max + 1 - px.size(2),
                LANES=lanes,
                num_warps=min(8, lanes // 64),
            )
    return tables
