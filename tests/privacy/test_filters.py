"""The prices of adaptive steps: each covers its event, and what has none is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_oracle import choice_law

from dpsynth.errors import BudgetError
from dpsynth.privacy import events as ev
from dpsynth.privacy.accounting import gdp_mu, zcdp_rho
from dpsynth.privacy.events import Event
from dpsynth.privacy.gaussian import bounded_range_mu, discrete_gaussian_mu, gaussian_deltas


def test_prices_and_repetitions() -> None:
    assert gdp_mu([ev.DiscreteGaussian(10.0, 2, 9)]) == pytest.approx(3 * discrete_gaussian_mu(10.0, 2))
    assert gdp_mu([ev.BoundedRange(0.1, 4)]) == pytest.approx(2 * bounded_range_mu(0.1))
    assert gdp_mu([ev.GdpGrant(0.3), ev.GdpGrant(0.4)]) == pytest.approx(0.5)
    assert zcdp_rho([ev.DiscreteGaussian(10.0, 2, 9), ev.BoundedRange(0.1, 4)]) == pytest.approx(0.18 + 0.005)
    assert gdp_mu([]) == zcdp_rho([]) == 0.0


@settings(deadline=None, max_examples=30)
@given(st.floats(0.005, 2), st.floats(2, 200), st.integers(1, 3))
def test_a_round_covers_every_choice_then_measurement(epsilon: float, sigma: float, count: int) -> None:
    """For each interval of the choice, the exact curve of both lies below that of the price."""
    measured = ev.DiscreteGaussian(sigma, 1, count)
    mu = gdp_mu([ev.Composed((ev.BoundedRange(epsilon), measured))])
    inner = gdp_mu([measured])
    x = np.linspace(-5 * mu, 5 * mu, 101)
    bound = gaussian_deltas(mu, x)
    for t in np.linspace(0, epsilon, 11):
        (low, high), (q, p) = choice_law(epsilon, float(t))
        truth = p * gaussian_deltas(inner, x - high) + q * gaussian_deltas(inner, x - low)
        assert (truth <= bound * (1 + 1e-7) + 1e-15).all()
    assert mu <= math.hypot(inner, bounded_range_mu(epsilon)) * (1 + 1e-12)


def test_a_round_of_aim_costs_hardly_more_than_its_rho() -> None:
    """A tenth for the choice: sqrt(2 rho) to 0.5 %, where the two prices composed take 2.8 %."""
    rho = 0.001
    one = ev.Composed(
        (ev.BoundedRange(math.sqrt(8 * 0.1 * rho)), ev.DiscreteGaussian(1 / math.sqrt(1.8 * rho), 1))
    )
    assert 1 < gdp_mu([one]) / math.sqrt(2 * rho) < 1.005


def test_the_order_inside_a_round_matters() -> None:
    """The joint price holds for choices before measurements only; else the prices compose."""
    choice, measured = ev.BoundedRange(0.3), ev.DiscreteGaussian(5.0, 1)
    apart = math.hypot(bounded_range_mu(0.3), discrete_gaussian_mu(5.0, 1))
    assert gdp_mu([ev.Composed((measured, choice))]) == pytest.approx(apart, rel=1e-12)
    assert gdp_mu([choice, measured]) == pytest.approx(apart, rel=1e-12)
    assert gdp_mu([ev.Composed((choice, measured))]) < apart


@pytest.mark.parametrize(
    "event",
    [
        ev.DpSgd(0.1, 1.0, 5),
        ev.External(1.0, 1e-6),
        ev.PartitionSelection(ev.DiscreteLaplace(1.0, 1), 1e-6),
        ev.DiscreteGaussian(0.9, 1),
        ev.ZcdpGrant(0.1),
    ],
)
def test_a_gaussian_filter_refuses(event: Event) -> None:
    with pytest.raises(BudgetError) as refusal:
        gdp_mu([event])
    assert refusal.value.code == "DPS-B306"


@pytest.mark.parametrize("event", [ev.DpSgd(0.1, 1.0, 5), ev.External(1.0, 1e-6)])
def test_a_zcdp_filter_refuses(event: Event) -> None:
    with pytest.raises(BudgetError) as refusal:
        zcdp_rho([event])
    assert refusal.value.code == "DPS-B306"
