# SPDX-License-Identifier: Apache-2.0
"""Which sparsities are in play when."""

import pytest

from omni_plugin.errors import OmniError
from omni_plugin.sampling import CubicRamp, LinearRamp, Schedule, Span

PROGRESS = [i / 100 for i in range(101)]


def test_the_sparsest_is_the_ramps_share_of_the_highest_sparsity():
    schedule = Schedule(0.8, CubicRamp(0.1, 0.5))
    for progress in PROGRESS:
        x = min(max((progress - 0.1) / 0.4, 0), 1)
        assert schedule(progress) == (0.0, pytest.approx(0.8 * (1 - (1 - x) ** 3)))


def test_before_growth_the_sparsest_is_the_only_one():
    schedule = Schedule(0.9, LinearRamp(0.1, 0.3), grow_from=0.5, grow_until=0.7)
    for progress in PROGRESS[:50]:
        densest, sparsest = schedule(progress)
        assert densest == sparsest


def test_the_densest_grows_in_proportion_to_the_updates():
    schedule = Schedule(0.9, LinearRamp(0.0, 0.0), grow_from=0.5, grow_until=0.7)
    found = [schedule(progress).densest for progress in (0.5, 0.55, 0.6, 0.65, 0.7, 1.0)]
    assert found == pytest.approx([0.9, 0.675, 0.45, 0.225, 0.0, 0.0])


def test_growth_may_be_at_once():
    schedule = Schedule(0.9, LinearRamp(0.0, 0.0), grow_from=0.5, grow_until=0.5)
    assert schedule(0.499) == Span(0.9, 0.9)
    assert schedule(0.5) == Span(0.0, 0.9)


@pytest.mark.parametrize("progress", PROGRESS)
def test_the_densest_is_never_sparser_than_the_sparsest(progress):
    densest, sparsest = Schedule(0.9, CubicRamp(0.2, 0.8), 0.3, 0.6)(progress)
    assert 0 <= densest <= sparsest <= 0.9


@pytest.mark.parametrize("growth", [(0.5, 0.4), (-0.1, 0.4), (0.5, 1.1)])
def test_an_impossible_growth_is_refused_with_its_values(growth):
    with pytest.raises(OmniError, match=f"growth from {growth[0]} to {growth[1]}: needs 0 <= grow"):
        Schedule(0.9, LinearRamp(0.0, 0.0), *growth)
