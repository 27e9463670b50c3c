# SPDX-License-Identifier: Apache-2.0
"""What a GPU did, from kineto's events, made up here."""

from types import SimpleNamespace

import pytest
from torch.autograd import DeviceType

from benchmarks.step_profile import summary


def event(name, device="CPU", begin=0, length=0):
    return SimpleNamespace(
        name=lambda: name,
        device_type=lambda: getattr(DeviceType, device),
        start_ns=lambda: begin,
        duration_ns=lambda: length,
    )


EVENTS = [
    event("cudaLaunchKernel", begin=0, length=9_000_000),
    event("void gemm<float>(int)", "CUDA", 2_000_000, 1_000_000),
    event("void gemm<float>(int)", "CUDA", 4_000_000, 500_000),
    event("add_kernel", "CUDA", 5_000_000, 250_000),
    event("cudaStreamSynchronize"),
    event("cudaDeviceSynchronize"),  # the benchmark's own
]


def test_kernels_are_counted_and_named():
    found = summary(EVENTS)
    assert found.kernels == 3
    assert found.by_name == {"void gemm": 2, "add_kernel": 1}


def test_a_gpu_is_busy_for_the_sum_of_its_kernels_and_idles_between_them():
    found = summary(EVENTS)
    assert (found.busy, found.span) == pytest.approx((1.75, 3.25))


def test_a_wait_is_the_updates_own():
    assert summary(EVENTS).waits == 1


def test_without_a_gpu_there_are_no_kernels():
    found = summary([event("aten::add")])
    assert (found.kernels, found.busy, found.span, found.waits) == (0, 0.0, 0.0, 0)
