"""One property suite for all mechanisms: what is charged is what was planned, whatever the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.budget import Budget, Cost
from dpsynth.domain import Domain
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import Stream
from dpsynth.mechanisms import METHODS, Found, Task
from dpsynth.pgm import fit
from dpsynth.privacy.accounting import calibrate, certify
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import BoundedRange, Charge, DiscreteGaussian, Event, flatten
from dpsynth.records import Records


class Recorder:
    """An account that takes everything and remembers it."""

    def __init__(self) -> None:
        self.charges: list[Charge] = []

    def charge(self, purpose: str, event: Event) -> None:
        self.charges.append(Charge(purpose, event))


@st.composite
def tables(draw: st.DrawFn) -> tuple[Records, int]:
    """(records, rows per unit): any small domain, also one column, cells of one, no records."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    domain = Domain(tuple(f"x{i}" for i in range(len(sizes))), tuple(sizes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from([0, 1, 50, 2000]))
    columns = {a: rng.integers(0, s, n) for a, s in zip(domain.attributes, sizes, strict=True)}
    return Records.of(domain, columns), draw(st.integers(1, 5))


def run(name: str, records: Records, rows_per_unit: int, cost: Cost) -> tuple[Found, list[Charge]]:
    account = Recorder()
    curator = Curator(MemoryEngine(records, rows_per_unit), account, Stream.for_tests(b"mechanisms"))
    found = METHODS[name].measure(curator, Task(records.domain, rows_per_unit), cost, fit)
    return found, account.charges


def rho(event: Event) -> float:
    """The zCDP price of what mechanisms may charge."""
    total = 0.0
    for part in flatten([event]):
        assert isinstance(part, DiscreteGaussian | BoundedRange)
        if isinstance(part, DiscreteGaussian):
            total += part.count * part.sensitivity**2 / (2 * part.sigma**2)
        else:
            total += part.count * part.epsilon**2 / 8
    return total


@pytest.mark.parametrize("name", METHODS)
@given(table=tables(), amount=st.sampled_from([1e-5, 1e-2, 1.0, 30.0]))
@settings(max_examples=40, deadline=None)
def test_the_charges_are_the_plan(name: str, table: tuple[Records, int], amount: float) -> None:
    records, rows_per_unit = table
    planned = METHODS[name].plan(Task(records.domain, rows_per_unit), Cost(amount))
    found, charged = run(name, records, rows_per_unit, Cost(amount))
    assert tuple(charged) == planned
    total = math.fsum(rho(charge.event) for charge in charged)
    assert 0.98 * amount <= total <= amount * (1 + 1e-9)
    assert {a for m in found.measurements for a in m.clique} == set(records.domain.attributes)
    for part in (p for c in charged for p in flatten([c.event]) if isinstance(p, DiscreteGaussian)):
        assert part.sensitivity == rows_per_unit
        assert part.sigma in {m.sigma for m in found.measurements}


@pytest.mark.parametrize("name", METHODS)
@given(table=tables())
@settings(max_examples=15, deadline=None)
def test_what_is_measured_makes_a_model(name: str, table: tuple[Records, int]) -> None:
    records, rows_per_unit = table
    found, _ = run(name, records, rows_per_unit, Cost(0.05))
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
def test_every_noise_scale_is_fixed_by_the_plan(name: str) -> None:
    """Two tables that could not differ more are charged alike."""
    domain = Domain.of(a=5, b=4, c=3)
    rng = np.random.default_rng(2)
    one = Records.of(domain, {a: np.zeros(1000, dtype=int) for a in domain.attributes})
    two = Records.of(domain, {a: rng.integers(0, domain[a], 10) for a in domain.attributes})
    assert run(name, one, 1, Cost(0.1))[1] == run(name, two, 1, Cost(0.1))[1]


def test_names_are_their_keys() -> None:
    assert {name: mechanism.name for name, mechanism in METHODS.items()} == {name: name for name in METHODS}
