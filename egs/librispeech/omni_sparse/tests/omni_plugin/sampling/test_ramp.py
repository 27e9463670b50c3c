# SPDX-License-Identifier: Apache-2.0
"""Ramps of the highest sparsity in play."""

import pytest

from omni_plugin.errors import OmniError
from omni_plugin.sampling import RAMPS, CubicRamp, LinearRamp, Ramp, make_ramp

every_ramp = pytest.mark.parametrize("name", list(RAMPS))


@pytest.mark.parametrize("start, end", [(0.0, 1.0), (0.15, 0.55), (0.2, 0.6)])
def test_the_cubic_ramp_follows_its_formula(start, end):
    ramp = CubicRamp(start, end)
    for i in range(101):
        t = i / 100
        x = min(max((t - start) / (end - start), 0.0), 1.0)
        assert ramp(t) == pytest.approx(1 - (1 - x) ** 3, abs=1e-12)


def test_the_linear_ramp_is_a_straight_line():
    assert LinearRamp(0.2, 0.6)(0.3) == pytest.approx(0.25)


@every_ramp
def test_nothing_is_in_play_up_to_the_start_and_everything_from_the_end_on(name):
    ramp = make_ramp(name, 0.25, 0.5)
    assert [ramp(t) for t in (0.0, 0.1, 0.25)] == [0.0, 0.0, 0.0]
    assert [ramp(t) for t in (0.5, 0.7, 1.0)] == [1.0, 1.0, 1.0]
    assert 0 < ramp(0.2501) < ramp(0.4999) < 1


@every_ramp
def test_a_ramp_never_falls(name):
    ramp = make_ramp(name, 0.1, 0.9)
    values = [ramp(i / 200) for i in range(201)]
    assert values == sorted(values)
    assert min(values) == 0.0 and max(values) == 1.0


@every_ramp
@pytest.mark.parametrize("at", [0.0, 0.4, 1.0])
def test_a_ramp_of_no_length_is_a_step(name, at):
    ramp = make_ramp(name, at, at)
    assert ramp(at) == 1.0
    assert at == 0.0 or ramp(at - 1e-6) == 0.0


@pytest.mark.parametrize("start, end", [(0.5, 0.4), (-0.1, 0.5), (0.5, 1.1)])
def test_impossible_shares_are_refused_with_their_values(start, end):
    with pytest.raises(OmniError, match=f"ramp from {start} to {end}: needs 0 <= start <= end"):
        make_ramp("cubic", start, end)


@pytest.mark.parametrize("start, end", [("0.1", 0.5), (0.1, None), ([0.1], 0.5)])
def test_shares_that_are_no_numbers_are_refused(start, end):
    with pytest.raises(OmniError, match="needs 0 <= start <= end"):
        make_ramp("cubic", start, end)


def test_an_unknown_ramp_is_refused():
    with pytest.raises(OmniError, match="ramp 'sudden' is unknown; known: cubic, linear"):
        make_ramp("sudden", 0.0, 1.0)


def test_a_new_ramp_is_its_curve_alone():
    class Late(Ramp):
        def rise(self, x: float) -> float:
            return x**4

    assert Late(0.5, 1.0)(0.75) == 0.5**4
