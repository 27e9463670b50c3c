# SPDX-License-Identifier: Apache-2.0
from argparse import Namespace

import pytest

from benchmarks.rnnt_recursion import measure
from emformer import rnnt_backend
from emformer.mutual_information.triton_check import VARIABLE, why_no_triton


@pytest.mark.skipif(rnnt_backend.NAME is None, reason="there is no k2 and no fast_rnnt")
def test_all_ways_are_timed_and_compute_the_same(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")  # what the benchmark sets is taken back
    args = Namespace(device="cpu", utterances=2, symbols=3, frames=8, rounds=2)
    found = measure(args)
    why_no_triton.cache_clear()
    assert [name for name, _, _ in found] == ["k2 or fast_rnnt, on the CPU", "torch operations"]
    assert all(milliseconds > 0 and error < 1e-5 for _, milliseconds, error in found)
