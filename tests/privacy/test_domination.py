"""The dominating Gaussian lies above the whole curve, and hardly higher than it must."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_oracle import noise_law, repeated
from scipy import special

from dpsynth.budget import Cost
from dpsynth.errors import BudgetError
from dpsynth.privacy import events as ev
from dpsynth.privacy.accounting import (
    certify,
    dominating_gaussian,
    gaussian_delta,
    gaussian_epsilon,
    privacy_profile,
)
from dpsynth.privacy.events import Event
from dpsynth.privacy.gaussian import gaussian_deltas
from dpsynth.privacy.gdp import least_mu
from dpsynth.privacy.sensitivity import measure_event, select_event

D0 = 1e-10
RUNS: dict[str, list[Event]] = {
    "dp-sgd": [ev.DpSgd(0.05, 2.5, 500)],
    "rare dp-sgd": [ev.DpSgd(0.002, 0.7, 300)],
    "mixed": [ev.GdpGrant(0.3), ev.DpSgd(0.05, 3.0, 500), ev.PureDp(0.1), ev.BoundedRange(0.05, 13)],
    "mst": [measure_event(Cost(0.01), 1, [1.0] * 14), *[select_event(Cost(0.001))] * 13],
    "small noise": [ev.DiscreteGaussian(0.8, 1, 6), ev.DiscreteGaussian(1.5, 2)],
    "other tool": [ev.External(0.5, 1e-11), ev.GdpGrant(0.5)],
    "grant": [ev.ZcdpGrant(0.02)],
}


@pytest.mark.parametrize("name", RUNS)
def test_it_lies_above_the_whole_curve(name: str) -> None:
    mu = dominating_gaussian(RUNS[name], D0)
    epsilons = np.linspace(0, 8 * mu + mu * mu, 333)
    curve = privacy_profile(RUNS[name], list(epsilons))
    assert (curve <= (1 - D0) * gaussian_deltas(mu, epsilons) + D0 * (1 + 1e-6)).all()
    lower = (1 - D0) * gaussian_deltas(mu * 0.995, epsilons) + D0
    assert (curve > lower).any() or name == "grant"


@pytest.mark.parametrize("name", ["dp-sgd", "mixed", "mst", "small noise"])
@pytest.mark.parametrize("delta", [1e-5, 1e-7])
def test_it_costs_at_most_five_percent(name: str, delta: float) -> None:
    mu = dominating_gaussian(RUNS[name], D0)
    own = certify(RUNS[name], delta).epsilon
    assert own * (1 - 1e-4) <= gaussian_epsilon(mu, delta - D0) <= 1.05 * own


def test_negative_epsilons_are_covered_too() -> None:
    """Brute force at the vertices of the exact trade-off function of discrete Gaussians, both ends."""
    events: list[Event] = [ev.DiscreteGaussian(0.8, 1, 3)]
    mu = dominating_gaussian(events, 1e-12)
    losses, p = repeated(noise_law(0.8, 1), 3)
    order = np.argsort(losses)
    missed = np.cumsum(p[order])
    alarms = np.cumsum((p * np.exp(-losses))[order][::-1])[::-1]
    vertex = (missed[:-1] > 1e-11) & (alarms[1:] > 1e-11)
    assert (
        special.ndtri(1 - alarms[1:][vertex]) - special.ndtri(missed[:-1][vertex]) <= mu * (1 + 1e-6)
    ).all()


def test_gaussian_runs_are_exact() -> None:
    events: list[Event] = [ev.GdpGrant(0.3), ev.DiscreteGaussian(100.0, 40, 1)]
    assert dominating_gaussian(events, D0) == pytest.approx(0.5, rel=1e-5)


def test_a_gaussian_gets_itself_back_from_the_general_method() -> None:
    for mu in (0.05, 1.0, 6.0):
        epsilons = np.linspace(0, mu * mu / 2 + 8 * mu, 600)
        deltas = gaussian_deltas(mu, epsilons)
        found = least_mu(epsilons, deltas, deltas, D0)
        assert mu * (1 - 1e-6) <= found <= mu * (1 + 2e-4)


def test_a_curve_that_does_not_vanish_has_no_dominating_gaussian() -> None:
    epsilons = np.linspace(0, 5, 50)
    flat = np.full(50, 1e-3)
    assert math.isinf(least_mu(epsilons, flat, flat, 1e-6))
    with pytest.raises(BudgetError) as refusal:
        dominating_gaussian([ev.External(1.0, 1e-6)], 1e-7)
    assert refusal.value.code == "DPS-B305"


def test_grants_beside_other_events() -> None:
    alone = dominating_gaussian([ev.ZcdpGrant(0.02)], D0 / 2)
    both = dominating_gaussian([ev.ZcdpGrant(0.02), ev.GdpGrant(0.4)], D0)
    assert both == pytest.approx(math.hypot(alone, 0.4))
    assert gaussian_delta(alone, 1.0) > 0
