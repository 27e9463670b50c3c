# SPDX-License-Identifier: Apache-2.0
"""Means over batches, and shares of time."""

import math

import pytest

from emformer.training.progress import LossMeter, StepTimer, mean_losses


def test_a_mean_is_over_frames_not_batches():
    meter = LossMeter()
    meter.add({"loss": 3.0, "frames": 1})
    meter.add({"loss": 5.0, "frames": 3})
    assert meter.means() == {"loss": pytest.approx(2.0)}


@pytest.mark.parametrize("frames", [{}, {"frames": 0}])
def test_a_mean_over_nothing_is_no_number(frames):
    assert math.isnan(mean_losses({"loss": 0.0, **frames})["loss"])


def test_waiting_is_no_share_of_no_time():
    timer = StepTimer()
    assert math.isnan(timer.waiting_share)
    timer.total, timer.waiting = 4.0, 1.0
    assert timer.waiting_share == 0.25
