"""zCDP prices against Renyi divergences by brute force; conversions against a dense search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loss_oracle import choice_law, laplace_law, moved, noise_law, partitions, renyi, repeated, response_law

from dpsynth.privacy import events as ev
from dpsynth.privacy.zcdp import (
    Unpriceable,
    event_rho,
    failure,
    largest_rho,
    pure_rho,
    zcdp_deltas,
    zcdp_epsilon,
)

ORDERS = [1.001, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0]


@pytest.mark.parametrize("sigma", [0.5, 0.9, 1.5, 4.0])
@pytest.mark.parametrize(("k", "count"), [(1, 1), (1, 5), (3, 1), (2, 4)])
def test_discrete_gaussian_rho_is_exact(sigma: float, k: int, count: int) -> None:
    """The largest divergence / alpha over all spreads of k rows is the price; nothing is above it."""
    price = event_rho(ev.DiscreteGaussian(sigma, k, count))
    ratios = [
        count * renyi(moved(sigma, moves), order) / order
        for moves in partitions(k)
        for order in (o for o in ORDERS if o * k < 12 * sigma)
    ]
    assert max(ratios) <= price * (1 + 1e-9)
    assert max(ratios) >= price * 0.9
    whole = renyi(repeated(noise_law(sigma, k), count), 2.0) / 2 if sigma > k / 4 else price
    assert whole == pytest.approx(price, rel=1e-6) or sigma < 1


@given(st.floats(1e-3, 10), st.floats(0, 1), st.sampled_from(ORDERS))
def test_a_choice_costs_at_most_an_eighth(epsilon: float, where: float, order: float) -> None:
    price = event_rho(ev.BoundedRange(epsilon))
    assert renyi(choice_law(epsilon, where * epsilon), order) <= price * order * (1 + 1e-7)


@given(st.floats(1e-2, 20), st.sampled_from(ORDERS))
def test_pure_dp_costs_at_most_its_tangent(epsilon: float, order: float) -> None:
    assert renyi(response_law(epsilon), order) <= pure_rho(epsilon) * order * (1 + 1e-7)
    assert pure_rho(epsilon) <= epsilon**2 / 2


def test_discrete_laplace_is_pure_dp() -> None:
    for order in ORDERS:
        assert renyi(laplace_law(2.0, 3), order) <= event_rho(ev.DiscreteLaplace(2.0, 3)) * order
    assert event_rho(ev.DiscreteLaplace(2.0, 3, 7)) == pytest.approx(7 * pure_rho(1.5))


def test_repetitions_count() -> None:
    assert event_rho(ev.DiscreteGaussian(5.0, 2, 3)) == pytest.approx(3 * 4 / 50)
    assert event_rho(ev.BoundedRange(0.4, 5)) == pytest.approx(5 * 0.02)
    assert event_rho(ev.PureDp(0.4, 5)) == pytest.approx(5 * 0.4 * math.tanh(0.2))
    assert event_rho(ev.Composed((ev.ZcdpGrant(0.1), ev.GdpGrant(0.2)))) == pytest.approx(0.12)


def test_dp_sgd_has_no_price() -> None:
    with pytest.raises(Unpriceable):
        event_rho(ev.DpSgd(0.1, 1.0, 10))


@given(st.floats(1e-7, 100), st.floats(1e-12, 1e-3))
def test_conversion_is_the_best_order(rho: float, delta: float) -> None:
    gap = np.geomspace(1e-9, 1e9, 20_001)
    alpha = 1 + gap
    dense = rho * alpha - (math.log(delta) + np.log1p(gap)) / gap + np.log(gap) - np.log1p(gap)
    assert zcdp_epsilon(rho, delta) == pytest.approx(max(float(dense.min()), 0.0), rel=1e-4, abs=1e-12)


@given(st.floats(1e-3, 30), st.floats(1e-12, 1e-3))
def test_conversion_there_and_back(epsilon: float, delta: float) -> None:
    rho = largest_rho(epsilon, delta)
    assert zcdp_epsilon(rho, delta) <= epsilon < zcdp_epsilon(rho * 1.001, delta)
    assert zcdp_deltas(rho, np.array([epsilon]))[0] == pytest.approx(delta, rel=1e-3)


def test_additive_deltas_do_not_simply_vanish() -> None:
    parts = [ev.External(1.0, 1e-6), ev.PartitionSelection(ev.DiscreteLaplace(1.0, 1), 2e-6), ev.PureDp(1.0)]
    assert failure(parts) == pytest.approx(3e-6, rel=1e-5)
    assert failure([ev.Composed(tuple(parts))]) == failure(parts)
    assert event_rho(parts[0]) == pure_rho(1.0)
