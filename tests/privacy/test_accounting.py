"""Certificates: never below the truth, close to it, and by the theorem that covers all events.

Audits are functions: each is shown to pass on the honest accountant and to fail on planted lies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from loss_oracle import Law, delta, noise_law, repeated, response_law, together

from dpsynth.budget import Cost
from dpsynth.errors import BudgetError
from dpsynth.privacy import events as ev
from dpsynth.privacy import sensitivity
from dpsynth.privacy.accounting import (
    ACCOUNTANTS,
    Certificate,
    certify,
    dominating_gaussian,
    gaussian_epsilon,
    gdp_mu,
)
from dpsynth.privacy.events import Event
from dpsynth.privacy.zcdp import Unpriceable, event_rho, zcdp_epsilon

Certify = Callable[[Sequence[Event], float], Certificate]
DELTAS = (1e-3, 1e-5, 1e-9, 1e-12)
SIGMAS = (0.5, 0.7, 0.99, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


def law_of(event: ev.DiscreteGaussian) -> Law:
    return repeated(noise_law(event.sigma, event.sensitivity), event.count)


def audit_truth(price: Certify) -> None:
    """Brute force: at the certified epsilon the exact delta of discrete Gaussians is at most the stated."""
    for event in (
        ev.DiscreteGaussian(3.0, 1, 5),
        ev.DiscreteGaussian(10.0, 3, 2),
        ev.DiscreteGaussian(0.7, 1, 2),
    ):
        for at in DELTAS:
            assert delta(law_of(event), price([event], at).epsilon) <= at * (1 + 1e-9)


LIES: dict[str, Callable[[ev.DiscreteGaussian], ev.DiscreteGaussian]] = {
    "noise twice the real scale": lambda event: replace(event, sigma=2 * event.sigma),
    "repetitions ignored": lambda event: replace(event, count=1),
    "rows per unit forgotten": lambda event: replace(event, sensitivity=1),
    "k rows taken as sqrt k": lambda event: replace(event, sigma=event.sigma * math.sqrt(event.sensitivity)),
    "scale 2 % off": lambda event: replace(event, sigma=1.02 * event.sigma),
}


def test_the_audit_passes_the_truth() -> None:
    audit_truth(certify)


@pytest.mark.parametrize("lie", LIES)
def test_the_audit_catches(lie: str) -> None:
    def liar(events: Sequence[Event], at: float) -> Certificate:
        return certify([LIES[lie](e) if isinstance(e, ev.DiscreteGaussian) else e for e in events], at)

    with pytest.raises(AssertionError):
        audit_truth(liar)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize(("k", "count"), [(1, 1), (1, 7), (3, 2)])
def test_no_accountant_is_below_the_discrete_curve(sigma: float, k: int, count: int) -> None:
    """Each by itself, not only the smallest; for sigma >= 10 the certificate is within 0.15 % of it."""
    event = ev.DiscreteGaussian(sigma, k, count)
    law = law_of(event)
    for at in DELTAS:
        for name, accountant in ACCOUNTANTS.items():
            try:
                epsilon = accountant.epsilon([event], at)
            except Unpriceable:
                assert name == "pure" or (name == "gdp" and sigma < 1)
                continue
            assert delta(law, epsilon) <= at * (1 + 1e-9), name
        if sigma >= 10:
            assert delta(law, certify([event], at).epsilon * 0.9985) > at
            assert certify([event], at).epsilon < 1.001 * gaussian_epsilon(k * math.sqrt(count) / sigma, at)


def test_mixed_scales_against_brute_force() -> None:
    events = [
        ev.DiscreteGaussian(4.0, 1),
        ev.DiscreteGaussian(7.0, 2),
        ev.DiscreteGaussian(1.3, 1),
        ev.PureDp(0.5),
    ]
    law = together([noise_law(4.0, 1), noise_law(7.0, 2), noise_law(1.3, 1), response_law(0.5)])
    for at in DELTAS:
        epsilon = certify(events, at).epsilon
        assert delta(law, epsilon) <= at * (1 + 1e-9) < delta(law, epsilon * 0.995)


@pytest.mark.parametrize(
    ("events", "accountant"),
    [
        ([ev.DiscreteGaussian(10.0, 1, 3)], "gdp"),
        ([ev.DiscreteGaussian(10.0, 1), ev.GdpGrant(0.3)], "gdp"),
        ([ev.DiscreteGaussian(10.0, 1), ev.BoundedRange(0.1, 13)], "pld"),
        ([ev.DiscreteGaussian(0.8, 1)], "pld"),
        ([ev.DiscreteGaussian(10.0, 1), ev.DpSgd(0.1, 2.0, 50)], "pld"),
        ([ev.DiscreteGaussian(10.0, 1), ev.ZcdpGrant(0.01)], "zcdp"),
        ([ev.DiscreteGaussian(0.9, 20), ev.BoundedRange(0.1)], "zcdp"),
        ([ev.DpSgd(0.1, 2.0, 50), ev.ZcdpGrant(0.01)], "rdp"),
        ([ev.PureDp(0.5)], "pure"),
        ([ev.PureDp(0.5), ev.External(0.5, 1e-9)], "pure"),
    ],
)
def test_the_theorem_covers_all_events(events: list[Event], accountant: str) -> None:
    found = certify(events, 1e-5)
    if accountant == "pure":
        assert found.epsilon <= 1.0
    else:
        assert found.accountant == accountant
    assert Certificate.from_json(found.as_json()) == found


def test_small_discrete_noise_has_no_gaussian_price() -> None:
    with pytest.raises(Unpriceable):
        ACCOUNTANTS["gdp"].epsilon([ev.DiscreteGaussian(0.99, 1)], 1e-5)


def test_additive_deltas_come_off_first() -> None:
    release = ev.GdpGrant(0.5)
    found = ev.PartitionSelection(ev.DiscreteGaussian(20.0, 1), 4e-6)
    both = certify([release, found], 1e-5).epsilon
    rest = certify([release, found.noise], (1e-5 - 4e-6) / (1 - 4e-6)).epsilon
    assert both == pytest.approx(rest, rel=1e-7)
    with pytest.raises(BudgetError, match="additive"):
        certify([found, ev.External(1.0, 7e-6)], 1e-5)


def test_what_another_tool_released_is_the_worst_pair() -> None:
    assert certify([ev.External(1.0, 0.0)], 1e-9).epsilon == pytest.approx(1.0, rel=1e-6)
    assert certify([ev.External(1.0, 1e-6)], 2e-6).epsilon == pytest.approx(1.0, rel=1e-3)
    law = repeated(response_law(0.2), 30)
    joint = certify([ev.External(0.2, 0.0)] * 30, 1e-6).epsilon
    assert delta(law, joint) <= 1e-6 < delta(law, joint * 0.99)


ANCHORS = {(0.2, 6.0): 2.381, (0.6, 2.5): 6.891, (1.5, 1.1): 21.59}
"""(mu of the marginals, sigma of DP-SGD) -> the sum of separately calibrated budgets at delta 1e-5."""


@pytest.mark.parametrize(("mu", "sigma"), ANCHORS)
def test_one_joint_composition_saves_a_quarter(mu: float, sigma: float) -> None:
    """Marginals, DP-SGD and Laplace: at most 0.77 of the sum of budgets; dominating Gaussian within 5 %."""
    events: list[Event] = [ev.GdpGrant(mu), ev.DpSgd(0.05, sigma, 2000), ev.DiscreteLaplace(10.0, 1)]
    joint = certify(events, 1e-5).epsilon
    assert joint <= 0.77 * ANCHORS[mu, sigma]
    separate = sum(certify([event], 1e-5 / 2).epsilon for event in events[:2]) + 0.1
    assert joint <= 0.77 * separate
    assert joint <= gaussian_epsilon(dominating_gaussian(events, 1e-10), 1e-5 - 1e-10) <= 1.05 * joint


def mst_events(cost: Cost) -> list[Event]:
    """MST on 14 columns: one-ways, 13 choices, 13 pairs, a third of the cost each."""
    third = cost.share(1 / 3)
    return [
        sensitivity.measure_event(third, 1, [1.0] * 14),
        *[sensitivity.select_event(third.share(1 / 13))] * 13,
        sensitivity.measure_event(third, 1, [1.0] * 13),
    ]


def aim_events(cost: Cost) -> list[Event]:
    """AIM: one-ways in advance, then a Gaussian grant whose rounds (choose, measure) fit it by `gdp_mu`."""
    return [
        sensitivity.measure_event(cost.share(0.1), 1, [1.0] * 14),
        ev.GdpGrant(math.sqrt(2 * cost.rho * 0.9)),
    ]


def test_mst_never_costs_more_than_zcdp() -> None:
    for rho in (1e-4, 0.01, 0.1, 1.0):
        events = mst_events(Cost(rho))
        plain = zcdp_epsilon(math.fsum(event_rho(event) for event in events), 1e-5)
        assert certify(events, 1e-5).epsilon <= plain
        if rho <= 0.1:
            assert certify(events, 1e-5).epsilon <= 0.95 * plain


def test_aim_costs_at_least_five_percent_less_than_zcdp() -> None:
    """The same rounds, chosen adaptively: a zCDP filter books rho = 0.0305, a Gaussian one sum mu**2."""
    rho, rounds = 0.0305, 28
    share = Cost(rho * 0.9 / rounds)
    one = ev.Composed(
        (
            sensitivity.select_event(share.share(0.1)),
            sensitivity.measure_event(share.share(0.9), 1, [1.0]),
        )
    )
    grant = ev.GdpGrant(gdp_mu([one] * rounds))
    ours = certify([sensitivity.measure_event(Cost(rho * 0.1), 1, [1.0] * 14), grant], 1e-5)
    assert ours.epsilon <= 0.95 * zcdp_epsilon(rho, 1e-5)
    assert zcdp_epsilon(rho, 1e-5) == pytest.approx(1.0, rel=1e-2)


def test_nothing_costs_nothing() -> None:
    assert certify([], 1e-9).epsilon == 0.0
