"""The Gaussian curve against integration, and its claims to dominate against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_oracle import choice_law, delta, grid_of, moved, noise_law, partitions
from scipy import integrate, special

from dpsynth.privacy import gaussian as gd


@pytest.mark.parametrize("mu", [1e-3, 0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("place", [-2.0, 0.0, 0.5, 2.0, 5.0, 8.0])
def test_delta_is_the_integral(mu: float, place: float) -> None:
    """delta = integral of max(0, density of P - exp(epsilon) density of Q), relative to its size."""
    epsilon = mu * mu / 2 + place * mu
    start = epsilon / mu - mu / 2  # the loss mu z + mu**2 / 2 passes epsilon at z
    value, _ = integrate.quad(
        lambda z: math.exp(-z * z / 2) * -math.expm1(epsilon - mu * z - mu * mu / 2),
        start,
        start + 12,
        epsrel=1e-12,
    )
    assert gd.gaussian_delta(mu, epsilon) == pytest.approx(value / math.sqrt(2 * math.pi), rel=1e-9)


@given(st.floats(1e-3, 12), st.floats(1e-15, 1e-2))
def test_epsilon_keeps_the_promise_and_hardly_more(mu: float, at: float) -> None:
    epsilon = gd.gaussian_epsilon(mu, at)
    assert gd.gaussian_delta(mu, epsilon) <= at
    assert epsilon == 0 or gd.gaussian_delta(mu, epsilon * (1 - 1e-8)) > at


@given(st.floats(0, 100), st.floats(1e-15, 1e-2))
def test_mu_keeps_the_promise_and_hardly_more(epsilon: float, at: float) -> None:
    mu = gd.gaussian_mu(epsilon, at)
    assert gd.gaussian_delta(mu, epsilon) <= at < gd.gaussian_delta(mu * (1 + 1e-8), epsilon)


@pytest.mark.parametrize("sigma", np.geomspace(1, 300, 60))
def test_the_largest_spacing_is_in_the_middle(sigma: float) -> None:
    """z_t - z_{t-1} for every t with a tail above 1e-280: on this rests the discrete Gaussian's mu."""
    reach = int(42 * sigma) + 2
    x = np.arange(0, reach + 1)
    weights = np.exp(-((x / sigma) ** 2) / 2)
    total = 2 * weights.sum() - weights[0]
    above = np.cumsum(weights[::-1])[::-1] / total  # P(X >= t), t = 0, 1, ...
    z = -special.ndtri(above[1:][above[1:] > 1e-280])  # z_t = Phi^-1(P(X <= t)) for t = 0, 1, ...
    spacings = np.append(2 * z[0], np.diff(z))  # the first is z_0 - z_{-1}
    mu = gd.discrete_gaussian_mu(sigma, 1)
    assert spacings[0] == pytest.approx(mu, rel=1e-8)
    assert spacings.max() <= mu


@pytest.mark.parametrize("sigma", [1.0, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0])
def test_discrete_gaussian_is_below_its_curve_however_the_rows_are_spread(sigma: float) -> None:
    for k in range(1, 9 if sigma == 1 else 6):
        mu = gd.discrete_gaussian_mu(sigma, k)
        for moves in partitions(k):
            if len(moves) > (8 if sigma < 1.5 else 3):
                continue
            law = moved(sigma, moves)
            epsilons = grid_of(law, 60)
            bound = gd.gaussian_deltas(mu, epsilons)
            exact = np.array([delta(law, e) for e in epsilons])
            assert (exact <= bound * (1 + 1e-9) + 1e-35).all(), moves


def test_the_discrete_gaussian_is_not_delta_over_sigma_gdp() -> None:
    """The lie of pitfall 30: k / sigma would be too small, and this test's brute force sees it."""
    for sigma in (1.0, 2.0, 5.0):
        law = noise_law(sigma, 1)
        epsilons = grid_of(law, 60)
        exact = np.array([delta(law, e) for e in epsilons])
        assert (exact > gd.gaussian_deltas(1 / sigma, epsilons)).any()
    assert gd.discrete_gaussian_mu(1.0, 1) == pytest.approx(1.046, abs=5e-4)
    assert gd.discrete_gaussian_mu(5.0, 1) * 5 == pytest.approx(1.0017, abs=5e-5)
    assert gd.discrete_gaussian_mu(10.0, 3) * 10 / 3 < 1.0005


def test_no_gaussian_price_below_one() -> None:
    with pytest.raises(ValueError, match="sigma"):
        gd.discrete_gaussian_mu(0.999, 1)


@settings(deadline=None)
@given(st.floats(1e-3, 20), st.floats(0, 1))
def test_bounded_range_is_below_its_curve_for_every_interval(epsilon: float, where: float) -> None:
    law = choice_law(epsilon, where * epsilon)
    epsilons = np.linspace(-epsilon, epsilon, 41)
    bound = gd.gaussian_deltas(gd.bounded_range_mu(epsilon), epsilons)
    assert all(delta(law, float(e)) <= b * (1 + 1e-7) + 1e-15 for e, b in zip(epsilons, bound, strict=True))


def test_bounded_range_mu_is_tight_and_the_formula_of_the_issue() -> None:
    for epsilon in (0.01, 0.3, 2.0):
        mu = gd.bounded_range_mu(epsilon)
        assert mu == pytest.approx(2 * special.ndtri(1 / (1 + math.exp(-epsilon / 2))), rel=1e-8)
        law = choice_law(epsilon, epsilon / 2)
        assert delta(law, 0.0) > gd.gaussian_delta(mu * 0.999, 0.0)


def test_pure_mu_covers_randomised_response() -> None:
    for epsilon in (0.01, 1.0, 5.0, 800.0):
        mu = gd.pure_mu(epsilon)
        advantage = math.tanh(epsilon / 2)
        assert gd.gaussian_delta(mu, 0.0) >= advantage * (1 - 1e-12)
