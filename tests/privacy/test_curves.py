"""What an attacker can gain, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_oracle import delta, noise_law, repeated
from scipy import special

from dpsynth.errors import BudgetError
from dpsynth.privacy import events as ev
from dpsynth.privacy.accounting import attacker_table, certify, gaussian_delta, privacy_profile, trade_off
from dpsynth.privacy.events import Event

FPRS = (0.001, 0.01, 0.1, 0.5, 0.9)


@pytest.mark.parametrize("mu", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("fpr", FPRS)
def test_gaussian_trade_off(mu: float, fpr: float) -> None:
    exact = float(special.ndtr(special.ndtri(fpr) + mu))
    assert trade_off([ev.GdpGrant(mu)]).tpr(fpr) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("fpr", FPRS)
def test_pure_trade_off(fpr: float) -> None:
    """Randomised response: min(exp(e) fpr, 1 - exp(-e)(1 - fpr))."""
    exact = min(math.e * fpr, 1 - (1 - fpr) / math.e)
    assert trade_off([ev.PureDp(1.0)]).tpr(fpr) == pytest.approx(exact, rel=2e-3)


def test_dp_sgd_trade_off_takes_the_worse_direction() -> None:
    curve = trade_off([ev.DpSgd(0.02, 0.8, 100)])
    one = min(float(curve.forward(np.array([e]))[0]) + math.exp(e) * 0.01 for e in np.linspace(0, 6, 600))
    two = min(float(curve.reverse(np.array([e]))[0]) + math.exp(e) * 0.01 for e in np.linspace(0, 6, 600))
    assert curve.tpr(0.01) == pytest.approx(max(one, two), rel=1e-3)


def test_posterior_is_bayes() -> None:
    curve = trade_off([ev.GdpGrant(1.0)])
    tpr = curve.tpr(0.01)
    assert curve.posterior(0.5, 0.01) == pytest.approx(tpr / (tpr + 0.01))
    assert curve.posterior(0.01, 0.01) == pytest.approx(tpr * 0.01 / (tpr * 0.01 + 0.99 * 0.01))


def test_table_for_the_release() -> None:
    rows = attacker_table([ev.GdpGrant(0.3), ev.BoundedRange(0.1, 5)])
    assert [row.false_positive_rate for row in rows] == [0.001, 0.01, 0.1]
    assert all(row.false_positive_rate < row.largest_true_positive_rate < 1 for row in rows)
    assert all(set(row.posteriors) == {0.5, 0.01} for row in rows)


def test_profile_is_the_exact_curve() -> None:
    epsilons = [0.0, 0.5, 1.0, 3.0]
    assert privacy_profile([ev.GdpGrant(1.0)], epsilons) == pytest.approx(
        [gaussian_delta(1.0, e) for e in epsilons]
    )
    law = repeated(noise_law(0.8, 1), 2)
    found = privacy_profile([ev.DiscreteGaussian(0.8, 1, 2)], epsilons)
    assert all(
        delta(law, e) <= d * (1 + 1e-9) <= 1.02 * delta(law, e) for e, d in zip(epsilons, found, strict=True)
    )


@pytest.mark.parametrize(
    "events",
    [
        [ev.GdpGrant(0.4), ev.BoundedRange(0.2, 5)],
        [ev.ZcdpGrant(0.1)],
        [ev.External(0.5, 1e-7), ev.GdpGrant(0.2)],
        [ev.DpSgd(0.05, 2.0, 50)],
    ],
)
def test_profile_agrees_with_the_certificate(events: list[Event]) -> None:
    for at in (1e-4, 1e-6):
        epsilon = certify(events, at).epsilon
        assert privacy_profile(events, [epsilon])[0] == pytest.approx(at, rel=0.01)


def test_no_curve_for_a_zcdp_grant_beside_dp_sgd() -> None:
    with pytest.raises(BudgetError) as refusal:
        privacy_profile([ev.ZcdpGrant(0.1), ev.DpSgd(0.1, 1.0, 5)], [1.0])
    assert refusal.value.code == "DPS-B308"
