"""Every kind of event is priced at no less than it costs, and each lie about it is caught.

`FLOORS` gives, for one event of each kind, a delta that some real mechanism of that kind reaches (by brute force, in
closed form, or by dp-accounting's optimistic estimate). The audit compares the certificate with it. A lie is the
certificate of an event that says less than the mechanism does; the audit must fail on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from dp_accounting.pld import privacy_loss_distribution as library
from loss_oracle import Law, choice_law, delta, laplace_law, noise_law, repeated, response_law

from dpsynth.privacy import events as ev
from dpsynth.privacy.accounting import certify, gaussian_delta
from dpsynth.privacy.events import Event

Floor = Callable[[float], float]
DELTAS = (1e-4, 1e-6)


def lawful(law: Law, failure: float = 0.0) -> Floor:
    return lambda epsilon: failure + (1 - failure) * delta(law, epsilon)


def optimistic(event: ev.DpSgd) -> Floor:
    grid = library.from_gaussian_mechanism(
        event.sigma, sampling_prob=event.rate, pessimistic_estimate=False, value_discretization_interval=1e-3
    )
    return grid.self_compose(event.steps).get_delta_for_epsilon


SGD = ev.DpSgd(0.1, 2.0, 100)
FLOORS: dict[str, tuple[Event, Floor, dict[str, Event]]] = {
    "discrete_gaussian": (
        ev.DiscreteGaussian(4.0, 2, 3),
        lawful(repeated(noise_law(4.0, 2), 3)),
        {
            "noise halved": ev.DiscreteGaussian(8.0, 2, 3),
            "repetitions ignored": ev.DiscreteGaussian(4.0, 2),
            "rows per unit forgotten": ev.DiscreteGaussian(4.0, 1, 3),
        },
    ),
    "bounded_range": (
        ev.BoundedRange(0.2, 20),
        lawful(repeated(choice_law(0.2, 0.1), 20)),
        {
            "monotonic coefficient": ev.BoundedRange(0.1, 20),
            "repetitions ignored": ev.BoundedRange(0.2),
        },
    ),
    "discrete_laplace": (
        ev.DiscreteLaplace(6.0, 2, 5),
        lawful(repeated(laplace_law(6.0, 2), 5)),
        {
            "noise halved": ev.DiscreteLaplace(12.0, 2, 5),
            "repetitions ignored": ev.DiscreteLaplace(6.0, 2),
            "rows per unit forgotten": ev.DiscreteLaplace(6.0, 1, 5),
        },
    ),
    "pure_dp": (
        ev.PureDp(0.1, 30),
        lawful(repeated(response_law(0.1), 30)),
        {"half of it": ev.PureDp(0.05, 30), "repetitions ignored": ev.PureDp(0.1)},
    ),
    "dp_sgd": (
        SGD,
        optimistic(SGD),
        {
            "noise halved": replace(SGD, sigma=4.0),
            "more steps than said": replace(SGD, steps=50),
            "larger batches than said": replace(SGD, rate=0.05),
        },
    ),
    "external": (
        ev.External(0.5, 5e-7),
        lawful(response_law(0.5), 5e-7),
        {"half of it": ev.External(0.25, 5e-7)},
    ),
    "partition_selection": (
        ev.PartitionSelection(ev.DiscreteGaussian(5.0, 1, 2), 9e-7),
        lawful(repeated(noise_law(5.0, 1), 2), 9e-7),
        {
            "repetitions ignored": ev.PartitionSelection(ev.DiscreteGaussian(5.0, 1), 9e-7),
            "additive delta dropped": ev.PartitionSelection(ev.DiscreteGaussian(5.0, 1, 2), 0.0),
        },
    ),
    "zcdp_grant": (
        ev.ZcdpGrant(0.08),
        lambda epsilon: gaussian_delta(0.4, epsilon),
        {"half of it": ev.ZcdpGrant(0.04)},
    ),
    "gdp_grant": (
        ev.GdpGrant(0.4),
        lambda epsilon: gaussian_delta(0.4, epsilon),
        {"2 % less": ev.GdpGrant(0.392)},
    ),
    "composed": (
        ev.Composed((ev.GdpGrant(0.3), ev.GdpGrant(0.4))),
        lambda epsilon: gaussian_delta(0.5, epsilon),
        {"a part left out": ev.Composed((ev.GdpGrant(0.4),))},
    ),
}
LIES = [(kind, lie) for kind, (_, _, lies) in FLOORS.items() for lie in lies]


def audit(stated: Sequence[Event], floor: Floor) -> None:
    """The certificate of what was stated must cover what was done."""
    for at in DELTAS:
        epsilon = certify(stated, at).epsilon
        assert math.isfinite(epsilon)
        assert floor(epsilon) <= at * (1 + 1e-6)


def test_every_kind_has_a_floor() -> None:
    assert set(FLOORS) == set(ev._KINDS)


@pytest.mark.parametrize("kind", FLOORS)
def test_the_truth_passes(kind: str) -> None:
    event, floor, _ = FLOORS[kind]
    audit([event], floor)


@pytest.mark.parametrize(("kind", "lie"), LIES)
def test_each_lie_is_caught(kind: str, lie: str) -> None:
    _, floor, lies = FLOORS[kind]
    with pytest.raises(AssertionError):
        audit([lies[lie]], floor)
