"""PrivBayes finds the network that is there, and uses only tables that hold more than noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from free_runs import measured

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.mechanisms import METHODS, Task, oneway, privbayes
from dpsynth.mechanisms.adaptive import L1_OF_NOISE
from dpsynth.privacy.events import BoundedRange, Composed, DiscreteGaussian
from dpsynth.records import Records
from dpsynth.workload import Workload

CHAIN = Domain.of(a=4, b=4, c=4, d=4, e=6)


def chain(n: int, seed: int) -> Records:
    """a - b - c - d: each copies the one before four times in five; e is alone."""
    rng = np.random.default_rng(seed)
    columns = {"a": rng.integers(0, 4, n), "e": rng.integers(0, 6, n)}
    for before, after in ("ab", "bc", "cd"):
        columns[after] = np.where(rng.random(n) < 0.8, columns[before], rng.integers(0, 4, n))
    return Records.of(CHAIN, columns)


def tables_of(records: Records, cost: Cost, seed: bytes = b"1", target: str | None = None) -> list[Clique]:
    found, _ = measured("privbayes", records, cost, seed=seed, workload=Workload(target))
    return [m.clique for m in found.measurements[len(records.domain) :]]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_finds_the_chain(seed: int) -> None:
    found = tables_of(chain(20_000, seed), Cost(0.2), bytes([seed]))
    for pair in ("ab", "bc", "cd"):
        assert any(set(pair) <= set(clique) for clique in found)


def test_it_finds_a_child_of_two_parents() -> None:
    """c is a xor b: no pair of it tells anything."""
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 2, 5000), rng.integers(0, 2, 5000)
    records = Records.of(Domain.of(a=2, b=2, c=2), {"a": a, "b": b, "c": a ^ b})
    assert any(set(clique) == set("abc") for clique in tables_of(records, Cost(0.1)))


def test_every_attribute_joins_once_with_parents_that_are_there() -> None:
    for seed, target in enumerate([None, "c", "e"]):
        inside = {target or "a"}
        for *parents, child in tables_of(chain(3000, seed), Cost(0.05), target=target):
            assert child not in inside
            assert set(parents) <= inside
            inside.add(child)
        assert inside == set(CHAIN.attributes)


def test_useless_tables_are_never_asked_for() -> None:
    records, cost = chain(2000, 4), Cost(0.002)
    [sigma] = {METHODS["privbayes"].chosen_noise(Task(CHAIN), cost)}
    assert sigma is not None
    most = 2 * len(records) / (privbayes.USEFUL * L1_OF_NOISE * sigma)
    assert most < CHAIN.size(("a", "b", "c"))
    for clique in tables_of(records, cost):
        assert len(clique) == 1 or CHAIN.size(clique) <= most


def test_without_budget_it_is_independent_columns() -> None:
    assert all(len(clique) == 1 for clique in tables_of(chain(500, 5), Cost(1e-6)))


def test_all_rounds_cost_the_same_and_the_choice_its_share() -> None:
    ones, *rounds = METHODS["privbayes"].plan(Task(CHAIN, 2), Cost(0.1))
    assert ones.purpose == "one-way marginals"
    assert len(rounds) == len(CHAIN) - 1
    assert len(set(rounds)) == 1
    event = rounds[0].event
    assert isinstance(event, Composed)
    choice, counts = event.events
    assert isinstance(choice, BoundedRange)
    assert isinstance(counts, DiscreteGaussian)
    whole = choice.epsilon**2 / 8 + 2 / counts.sigma**2
    rest = 0.1 * (1 - oneway.share(Cost(0.1), 2))
    assert whole == pytest.approx(rest / 4, rel=1e-4)
    assert choice.epsilon**2 / 8 == pytest.approx(privbayes.CHOICE_SHARE * whole, rel=1e-4)
    assert math.isclose(counts.sensitivity, 2)


def test_many_columns_are_offered_fewer_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many sets of parents that they cannot all be scored: smaller sets then, decided by numbers alone."""
    domain = Domain(tuple(f"x{i}" for i in range(12)), (2,) * 12)
    rng = np.random.default_rng(6)
    records = Records.of(domain, {a: rng.integers(0, 2, 3000) for a in domain.attributes})
    monkeypatch.setattr(privbayes, "MANY", 60)
    found = tables_of(records, Cost(1.0))
    assert len(found) == 11
    middle = found[4:8]  # here 5 to 8 inside and 4 to 7 outside: more than 60 sets of two parents
    assert all(len(clique) <= 2 for clique in middle)
