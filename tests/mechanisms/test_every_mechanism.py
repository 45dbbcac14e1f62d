"""One property suite for all mechanisms: what is charged is what was planned, whatever the data."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from free_runs import FreeRun, measured
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.budget import Budget, Cost
from dpsynth.domain import Domain
from dpsynth.errors import BudgetError
from dpsynth.mechanisms import METHODS, Task, network
from dpsynth.privacy.accounting import calibrate, certify
from dpsynth.privacy.events import BoundedRange, DiscreteGaussian, DpSgd, Event, GdpGrant, flatten
from dpsynth.privacy.gdp import event_mu
from dpsynth.progress import Cancelled
from dpsynth.records import Records
from dpsynth.workload import Workload


@pytest.fixture(autouse=True, scope="module")
def _short_training() -> Iterator[None]:
    """What is asked and paid does not depend on how long a generator is trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "STEPS", (4, 4))
        yield


@st.composite
def tables(draw: st.DrawFn) -> tuple[Records, int, Workload, frozenset[str]]:
    """(records, rows per unit, workload, ordered attributes): small domains, also one column, cells of one, no rows."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    domain = Domain(tuple(f"x{i}" for i in range(len(sizes))), tuple(sizes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from([0, 1, 50, 2000]))
    columns = {a: rng.integers(0, s, n) for a, s in zip(domain.attributes, sizes, strict=True)}
    target = draw(st.sampled_from([None, *domain.attributes]))
    pairs = draw(st.sampled_from([None, (), (domain.attributes[:2],)])) if len(domain) > 1 else None
    ordered = frozenset(draw(st.lists(st.sampled_from(domain.attributes))))
    return Records.of(domain, columns), draw(st.integers(1, 5)), Workload(target, pairs), ordered


def rho(event: Event) -> float:
    """What mechanisms may charge, in the currency of their plans; a grant counts as the Gaussian of its mu, DP-SGD as
    that of its limit for many steps."""
    total = 0.0
    for part in flatten([event]):
        assert isinstance(part, DiscreteGaussian | BoundedRange | GdpGrant | DpSgd)
        match part:
            case DiscreteGaussian(sigma, k, count):
                total += count * k**2 / (2 * sigma**2)
            case BoundedRange(epsilon, count):
                total += count * epsilon**2 / 8
            case GdpGrant(mu):
                total += mu**2 / 2
            case DpSgd(1.0, sigma, steps):
                total += steps / (2 * sigma**2)
            case DpSgd(rate, sigma, steps):
                total += rate**2 * steps * math.expm1(1 / sigma**2) / 2
    return total


@pytest.mark.parametrize("name", METHODS)
@given(table=tables(), amount=st.sampled_from([1e-5, 1e-2, 1.0, 30.0]))
@settings(max_examples=25, deadline=None)
def test_the_charges_are_the_plan(
    name: str, table: tuple[Records, int, Workload, frozenset[str]], amount: float
) -> None:
    records, rows_per_unit, workload, ordered = table
    task = Task(records.domain, rows_per_unit, workload, ordered=ordered)
    planned = METHODS[name].plan(task, Cost(amount))
    found, run = measured(
        name, records, Cost(amount), rows_per_unit=rows_per_unit, workload=workload, ordered=ordered
    )
    assert tuple(run.made) == planned
    assert not run.outstanding
    total = math.fsum(rho(charge.event) for charge in run.made)
    assert 0.98 * amount <= total <= amount * (1 + 1e-9)
    assert {a for m in found.measurements for a in m.clique} == set(records.domain.attributes)
    check_grants(run)
    parts = [p for c in (*run.made, *run.inner) for p in flatten([c.event])]
    for part in (p for p in parts if isinstance(p, DiscreteGaussian)):
        assert part.sensitivity == rows_per_unit
    assert {m.sigma for m in found.measurements} <= {
        p.sigma for p in parts if isinstance(p, DiscreteGaussian)
    }


def check_grants(run: FreeRun) -> None:
    """What was charged inside the grants is what they give: not a hair more, not 2 % less."""
    whole = math.fsum(grant.event.mu**2 for grant in run.grants if isinstance(grant.event, GdpGrant))
    spent = math.fsum(event_mu(charge.event) ** 2 for charge in run.inner)
    assert 0.98 * whole <= spent <= whole * (1 + 1e-9)


@pytest.mark.parametrize("name", METHODS)
@given(table=tables())
@settings(max_examples=12, deadline=None)
def test_what_is_measured_makes_a_model(
    name: str, table: tuple[Records, int, Workload, frozenset[str]]
) -> None:
    records, rows_per_unit, workload, ordered = table
    found, _ = measured(
        name, records, Cost(0.05), rows_per_unit=rows_per_unit, workload=workload, ordered=ordered
    )
    assert found.generator.domain == records.domain
    assert len(found.generator.sample(37, np.random.default_rng(1))) == 37


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_calibration_spends_the_promise(name: str, epsilon: float) -> None:
    task = Task(Domain.of(a=10, b=4, c=7, d=2), 3)
    budget = Budget(epsilon, 1e-9)
    cost = calibrate(lambda c: [charge.event for charge in METHODS[name].plan(task, c)], budget)
    spent = certify([charge.event for charge in METHODS[name].plan(task, cost)], budget.delta).epsilon
    assert 0.98 * epsilon <= spent <= epsilon


@pytest.mark.parametrize("name", METHODS)
def test_the_run_is_fixed_by_the_plan(name: str) -> None:
    """Two tables that could not differ more are charged alike; only inside a grant noise may follow answers."""
    domain = Domain.of(a=5, b=4, c=3)
    rng = np.random.default_rng(2)
    one = Records.of(domain, {a: np.zeros(1000, dtype=int) for a in domain.attributes})
    two = Records.of(domain, {a: rng.integers(0, domain[a], 10) for a in domain.attributes})
    assert measured(name, one, Cost(0.1))[1].made == measured(name, two, Cost(0.1))[1].made


@pytest.mark.parametrize("name", METHODS)
def test_the_noise_that_is_promised_is_the_noise_that_comes(name: str) -> None:
    domain = Domain.of(a=5, b=4, c=3, d=2)
    records = Records.of(domain, {a: np.arange(600) % domain[a] for a in domain.attributes})
    task, cost = Task(domain), Cost(0.1)
    known, chosen = METHODS[name].noise(task, cost), METHODS[name].chosen_noise(task, cost)
    found, run = measured(name, records, cost)
    for m in found.measurements[: len(domain)]:
        assert known[m.clique] == m.sigma
    if chosen is not None:
        assert {m.sigma for m in found.measurements[len(domain) :]} == {chosen}
        assert not run.inner


@pytest.mark.parametrize("name", METHODS)
def test_wide_columns_stay_within_the_cells_that_were_stated(name: str) -> None:
    """No model and no table of counts is larger than the public sizes allow."""
    domain = Domain.of(a=300, b=200, c=100, d=2)
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 100, 3000)
    records = Records.of(domain, {a: np.minimum(rows, domain[a] - 1) for a in domain.attributes})
    task = Task(domain, max_cells=5e4)
    found, _ = measured(name, records, Cost(5.0), max_cells=5e4)
    assert sum(m.values.size for m in found.measurements) <= METHODS[name].cells(task)
    assert len(found.generator.sample(10, rng)) == 10


@pytest.mark.parametrize("name", METHODS)
def test_progress_stops_it(name: str) -> None:
    """What measured in rounds tells of each; a progress function that raises ends it."""
    domain = Domain.of(a=3, b=3, c=3)
    records = Records.of(domain, {a: np.arange(300) % 3 for a in domain.attributes})
    told: list[float] = []

    def stop(step: str, done: float) -> None:
        assert 0 <= done <= 1
        told.append(done)
        raise Cancelled

    try:
        measured(name, records, Cost(0.1), progress=stop)
    except Cancelled:
        assert len(told) == 1
    else:
        assert not told


def test_names_are_their_keys() -> None:
    assert {name: mechanism.name for name, mechanism in METHODS.items()} == {name: name for name in METHODS}


def test_an_unplanned_charge_is_refused_by_the_free_run_too() -> None:
    run = FreeRun(METHODS["aim"].plan(Task(Domain.of(a=2, b=2)), Cost(0.1)))
    with pytest.raises(BudgetError):
        run.charge("something", DiscreteGaussian(1.0, 1))
