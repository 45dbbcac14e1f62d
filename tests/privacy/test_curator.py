"""The door: answers, merged cells, grants, and what it refuses."""

from __future__ import annotations

import contextlib
import copy
import pickle
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from dpsynth.budget import Budget, Cost
from dpsynth.domain import Domain
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import system
from dpsynth.errors import BudgetError, DPSynthError
from dpsynth.privacy import sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge, DiscreteGaussian, Event, GdpGrant
from dpsynth.privacy.ledger import Grant, Ledger, Run, Unit
from dpsynth.privacy.rounds import Round
from dpsynth.records import Records

DOMAIN = Domain.of(a=4, b=3)
LARGE = Cost(100.0)
"""So much that noise other than 0 has probability below 1e-20: answers can be compared with exact counts."""


class Open:
    """An account that takes everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def charge(self, purpose: str, event: Event) -> None:
        self.events.append(event)


class Counted(MemoryEngine):
    asked = 0

    def marginals(self, cliques):  # type: ignore[no-untyped-def]
        type(self).asked += 1
        return super().marginals(cliques)


@pytest.fixture
def engine() -> MemoryEngine:
    rng = np.random.default_rng(2)
    return Counted(Records.of(DOMAIN, {"a": rng.integers(0, 4, 500), "b": rng.integers(0, 3, 500)}), 1)


@pytest.fixture
def door(engine: MemoryEngine) -> Curator:
    return Curator(engine, Open(), system())


def test_almost_without_noise_the_answers_are_the_counts(door: Curator, engine: MemoryEngine) -> None:
    [found] = door.measure([("b", "a")], LARGE, "all")
    assert np.array_equal(found.values, engine.marginals([("b", "a")])[("b", "a")])
    exact = {c: engine.marginals([c])[c].astype(float) for c in [("a",), ("b",)]}
    wrong = {**exact, ("a",): exact[("a",)] + [100, -100, 0, 0]}
    assert door.select(wrong, LARGE, "worst") == ("a",)
    assert door.errors(wrong, LARGE, "errors") == {("a",): 200.0, ("b",): 0.0}


def test_weights_share_the_cost(door: Curator) -> None:
    cost = Cost(0.5)
    first, second = door.measure([("a",), ("b",)], cost, "weighted", [3.0, 1.0])
    assert 1 / (2 * first.sigma**2) == pytest.approx(0.375, rel=1e-4)
    assert 1 / (2 * second.sigma**2) == pytest.approx(0.125, rel=1e-4)


def test_merged_cells_are_sums(door: Curator, engine: MemoryEngine) -> None:
    merged = door.coarsened({"a": np.array([0, 0, 1, 1])})
    assert merged.domain == Domain.of(a=2, b=3)
    [found] = merged.measure([("a", "b")], LARGE, "merged")
    exact = engine.marginals([("a", "b")])[("a", "b")]
    assert np.array_equal(found.values, [exact[0] + exact[1], exact[2] + exact[3]])
    for bad in (np.array([0, 1]), np.array([0, 0, 2, 2])):
        with pytest.raises(ValueError):
            _ = door.coarsened({"a": bad}).domain
    with pytest.raises(ValueError, match="original"):
        merged.coarsened({"b": np.array([0, 0, 0])})


@pytest.fixture
def run() -> Iterator[Run]:
    budget = Budget(3.0, 1e-6)
    plan = [Charge("loop", GdpGrant(0.2)), Charge("after", sensitivity.measure_event(Cost(0.01), 1, [1.0]))]
    with Ledger.in_memory(budget, Unit("row")).reserve("test", plan, budget) as reserved:
        yield reserved


def test_an_adaptive_loop_stays_within_its_grant(engine: MemoryEngine, run: Run) -> None:
    door = Curator(engine, run, system())
    loop = door.within("loop")
    step = Cost(0.2**2 / 2 / 4.5)
    for _ in range(4):
        loop.measure([("a",)], step, "step")
    before = Counted.asked
    with pytest.raises(BudgetError):
        loop.measure([("a",)], step, "one too many")
    assert Counted.asked == before
    with pytest.raises(ValueError, match="inside another"):
        loop.within("loop")
    door.measure([("a",)], Cost(0.01), "after")
    with pytest.raises(BudgetError):
        loop.measure([("a",)], Cost(1e-6), "too late")


def test_what_cannot_be_asked(door: Curator) -> None:
    with pytest.raises(ValueError):
        door.measure([], LARGE, "nothing")
    with pytest.raises(ValueError):
        door.measure([("a",)], LARGE, "weights", [1.0, 2.0])
    for estimates in ({}, {("a",): np.array([1.0, np.nan, 0, 0])}):
        with pytest.raises(ValueError):
            door.select(estimates, LARGE, "bad")
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="private rows"):
            travel(door)


@pytest.mark.parametrize("shape", [(1000, 4), (4, 1), (1,), ()])
def test_an_estimate_of_another_shape_is_refused_before_the_charge(
    engine: MemoryEngine, shape: tuple[int, ...]
) -> None:
    """Repeated 1,000 times along a new axis, one row would move the error by 1,000."""
    account = Open()
    door, wrong = Curator(engine, account, system()), {("a",): np.zeros(shape)}
    costs = Round(LARGE, LARGE)
    for ask in (
        lambda: door.errors(wrong, LARGE, "x"),
        lambda: door.select(wrong, LARGE, "x"),
        lambda: door.choose_and_measure(wrong, costs, "x"),
    ):
        with pytest.raises(ValueError, match="each cell"):
            ask()
    assert not account.events


def test_threads_cannot_spend_a_grant_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads ask at once, each while the others look whether it fits."""
    grant, event = Grant("x", GdpGrant(1.0)), DiscreteGaussian(1.2, 1)
    honest, taken = Grant.fits, []

    def slow(self: Grant, asked: Event) -> bool:
        fits = honest(self, asked)
        time.sleep(0.02)
        return fits

    def ask() -> None:
        with contextlib.suppress(BudgetError):
            grant.charge("x", event)
            taken.append(event)

    monkeypatch.setattr(Grant, "fits", slow)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


WIDE = Domain.of(a=60_000, b=60_000, c=2)


@pytest.mark.parametrize(
    ("clique", "code"),
    [(("a", "a"), "U188"), (("c", "a", "c"), "U188"), (("a", "d"), "U188"), (("a", "b"), "C111")],
)
def test_marginals_that_cannot_be_counted_are_refused_before_the_charge(
    clique: tuple[str, ...], code: str
) -> None:
    """Twice the same column of 60,000 cells were 27 GB, asked for once they were paid for."""
    records = Records(WIDE, tuple(np.zeros(3, dtype=np.int64) for _ in WIDE.attributes))
    account = Open()
    door = Curator(MemoryEngine(records, 1), account, system())
    for ask in (
        lambda: door.measure([("c",), clique], LARGE, "x"),
        lambda: door.select({clique: np.zeros(2)}, LARGE, "x"),
        lambda: door.errors({clique: np.zeros(2)}, LARGE, "x"),
    ):
        with pytest.raises(DPSynthError) as caught:
            ask()
        assert caught.value.code == f"DPS-{code}"
    assert account.events == []
