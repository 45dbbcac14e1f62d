"""The inverse keeps the promise, wastes next to nothing, and ends soon over the whole range of promises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
from test_accounting import aim_events, mst_events

from dpsynth.budget import Budget, Cost
from dpsynth.errors import BudgetError
from dpsynth.privacy import events as ev
from dpsynth.privacy import sensitivity
from dpsynth.privacy.accounting import calibrate, certify, zcdp_epsilon
from dpsynth.privacy.events import Event

PROMISES = [
    (0.01, 1e-12),
    (0.01, 1e-3),
    (0.1, 1e-9),
    (1.0, 1e-5),
    (10.0, 1e-9),
    (100.0, 1e-12),
    (100.0, 1e-3),
]


def laplace_events(cost: Cost) -> list[Event]:
    return [
        ev.DiscreteLaplace(1 / math.sqrt(2 * cost.rho), 1),
        sensitivity.measure_event(cost, 2, [1.0, 3.0]),
    ]


def gan_events(cost: Cost) -> list[Event]:
    return [sensitivity.measure_event(cost, 1, [1.0] * 3), ev.DpSgd(0.05, 1 / math.sqrt(cost.rho), 100)]


def loop_events(cost: Cost) -> list[Event]:
    return [sensitivity.measure_event(cost.share(0.2), 5, [1.0] * 3), ev.ZcdpGrant(cost.rho * 0.8)]


@pytest.mark.parametrize("plan", [mst_events, aim_events, laplace_events, gan_events, loop_events])
@pytest.mark.parametrize(("epsilon", "delta"), PROMISES)
def test_the_promise_is_kept_and_used_up(
    plan: Callable[[Cost], list[Event]], epsilon: float, delta: float
) -> None:
    start = time.process_time()
    cost = calibrate(plan, Budget(epsilon, delta))
    spent = time.process_time() - start
    certificate = certify(plan(cost), delta)
    assert 0.999 * epsilon < certificate.epsilon <= epsilon
    assert spent < 5


def test_a_typical_plan_takes_less_than_a_second() -> None:
    start = time.process_time()
    calibrate(mst_events, Budget(1.0, 1e-9))
    assert time.process_time() - start < 1


def test_fixed_charges_come_first_and_may_be_too_many() -> None:
    def plan(cost: Cost) -> list[Event]:
        return [ev.External(0.5, 1e-7), sensitivity.measure_event(cost, 1, [1.0])]

    cost = calibrate(plan, Budget(1.0, 1e-6))
    assert 0.999 < certify(plan(cost), 1e-6).epsilon <= 1.0
    assert zcdp_epsilon(cost.rho, 1e-6) > 0.5
    with pytest.raises(BudgetError) as refusal:
        calibrate(plan, Budget(0.4, 1e-6))
    assert refusal.value.code == "DPS-B303"
    with pytest.raises(BudgetError) as refusal:
        calibrate(plan, Budget(0.4, 1e-8))
    assert refusal.value.code == "DPS-B309"


def test_a_plan_that_ignores_its_cost_is_an_error() -> None:
    with pytest.raises(BudgetError) as refusal:
        calibrate(lambda cost: [ev.PureDp(0.1)], Budget(1.0, 1e-6))
    assert refusal.value.code == "DPS-B304"
