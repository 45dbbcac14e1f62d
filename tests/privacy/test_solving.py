"""Roots and least values against known ones and against scipy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from dpsynth.privacy.solving import least, root


@given(st.floats(-5, 5), st.floats(0.01, 3), st.integers(1, 4))
def test_root_of_what_is_known(place: float, scale: float, power: int) -> None:
    def steep(x: float) -> float:
        return (
            math.copysign(abs(scale * (x - place)) ** power, x - place) if abs(x - place) < 3 else x - place
        )

    found = root(steep, -6.0, 6.5, 1e-12, 1e-12)
    assert abs(found - place) <= 1e-11 or steep(found) == 0


@given(st.floats(0.05, 8.0), st.floats(1e-12, 0.4))
def test_root_is_that_of_brent_and_takes_no_longer(rate: float, goal: float) -> None:
    calls = 0

    def excess(x: float) -> float:
        nonlocal calls
        calls += 1
        return -rate * x - math.log1p(x) - math.log(goal)

    found = root(excess, 0.0, 1000.0, 1e-13, 1e-11)
    ours, calls = calls, 0
    known, facts = optimize.brentq(excess, 0.0, 1000.0, xtol=1e-13, rtol=1e-11, full_output=True)
    assert found == pytest.approx(known, rel=1e-9, abs=1e-12)
    assert ours <= 2 * facts.function_calls + 10


def test_no_change_of_sign_is_refused() -> None:
    with pytest.raises(ValueError, match="sign"):
        root(lambda x: x * x + 1, -1.0, 1.0, 1e-9, 0.0)


@given(st.floats(-3, 3), st.floats(0.1, 4))
def test_least_value(place: float, scale: float) -> None:
    found = least(lambda x: math.cosh(scale * (x - place)), -5.0, 4.0, 1e-8)
    assert 1 <= found < 1 + 1e-12
