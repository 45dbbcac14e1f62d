"""AIM finds what no tree of pairs can hold, spends its grant to the end, and keeps its limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from free_runs import measured

from dpsynth.budget import Budget, Cost
from dpsynth.domain import Clique, Domain
from dpsynth.mechanisms import METHODS, Task, adaptive
from dpsynth.mechanisms.rooms import Room
from dpsynth.privacy.accounting import calibrate, certify
from dpsynth.privacy.events import BoundedRange, Composed, DiscreteGaussian, Event, GdpGrant
from dpsynth.progress import Progress
from dpsynth.records import Records
from dpsynth.workload import Workload

XOR = Domain.of(a=2, b=2, c=2, d=4, e=3)


def xor(n: int, seed: int = 1) -> Records:
    """c is a xor b, so every pair is independent and the triple is not; d and e have nothing to do with it."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2, n), rng.integers(0, 2, n)
    columns = {"a": a, "b": b, "c": a ^ b, "d": rng.integers(0, 4, n), "e": rng.integers(0, 3, n)}
    return Records.of(XOR, columns)


def triple_error(name: str, records: Records, cost: Cost, seed: bytes) -> float:
    found, _ = measured(name, records, cost, seed=seed)
    flat = np.ravel_multi_index([records[x].astype(int) for x in "abc"], (2, 2, 2))
    exact = np.bincount(flat, minlength=8).reshape(2, 2, 2)
    return float(np.abs(found.generator.marginal(("a", "b", "c")) - exact).sum() / 2 / len(records))


@pytest.mark.parametrize("seed", [b"1", b"2", b"3"])
def test_it_finds_a_triple_that_no_tree_of_pairs_can_hold(seed: bytes) -> None:
    records, cost = xor(5000), Cost(0.05)
    assert triple_error("mst", records, cost, seed) > 0.4
    assert triple_error("aim", records, cost, seed) < 0.05


def test_wanted_pairs_only() -> None:
    """A workload of pairs with d alone: nothing else is measured, not even the strong triple."""
    workload = Workload(pairs=(("d", "e"),))
    found, _ = measured("aim", xor(5000), Cost(0.05), workload=workload)
    assert {m.clique for m in found.measurements if len(m.clique) > 1} <= {
        c for c in adaptive.candidates(Task(XOR, workload=workload)) if {"d", "e"} <= set(c)
    }


def test_the_target_comes_first() -> None:
    """Two equally strong pairs: the one with the target is chosen nine times in ten or more (here of 12)."""
    rng = np.random.default_rng(5)
    n, domain = 4000, Domain.of(a=3, b=3, x=3, y=3)
    a, x = rng.integers(0, 3, n), rng.integers(0, 3, n)
    noisy = [np.where(rng.random(n) < 0.4, one, rng.integers(0, 3, n)) for one in (a, x)]
    records = Records.of(domain, {"a": a, "b": noisy[0], "x": x, "y": noisy[1]})
    first = 0
    for i in range(12):
        found, _ = measured("aim", records, Cost(0.02), workload=Workload("y"), seed=bytes([i]))
        first += "y" in found.measurements[len(domain)].clique
    assert first >= 9


def test_the_plan_is_one_way_marginals_and_one_grant() -> None:
    task = Task(XOR)
    budget = Budget(1.0, 1e-9)

    def events(cost: Cost) -> list[Event]:
        return [c.event for c in METHODS["aim"].plan(task, cost)]

    cost = calibrate(events, budget)
    assert isinstance(events(cost)[1], GdpGrant)
    assert certify(events(cost), budget.delta).accountant in {"gdp", "pld"}
    assert set(METHODS["aim"].noise(task, cost)) == {(a,) for a in XOR.attributes}
    assert METHODS["aim"].chosen_noise(task, cost) is None


def test_each_round_is_one_charge_of_a_choice_and_a_measurement() -> None:
    told: list[float] = []
    _, run = measured("aim", xor(3000), Cost(0.05), progress=lambda step, done: told.append(done))
    for charge in run.inner:
        assert isinstance(charge.event, Composed)
        choice, counts = charge.event.events
        assert isinstance(choice, BoundedRange)
        assert isinstance(counts, DiscreteGaussian)
        assert counts.count == 1
    sigmas = [charge.event.events[1].sigma for charge in run.inner]  # type: ignore[union-attr]
    assert sigmas[-2] <= sigmas[0], "the noise never grows, but for a last round that takes what is left"
    assert len(told) == len(run.inner)
    assert told == sorted(told)
    assert told[-1] > 0.5


def test_merged_cells_are_what_is_measured() -> None:
    """Ordered columns with many light cells: rounds count runs of them, the model spreads them out again."""
    rng = np.random.default_rng(4)
    domain = Domain.of(age=90, x=3)
    age = np.minimum(rng.geometric(0.06, 4000), 89)
    records = Records.of(domain, {"age": age, "x": np.minimum(age // 8, 2)})
    found, _ = measured("aim", records, Cost(0.01), ordered=frozenset({"age"}))
    pairs = [m for m in found.measurements if set(m.clique) == {"age", "x"}]
    assert pairs
    assert all(m.values.size < domain.size() for m in pairs)
    error = np.abs(found.generator.marginal(("age", "x")) - counts(records, ("age", "x"))).sum() / 2
    assert error / len(records) < 0.15


def counts(records: Records, clique: Clique) -> np.ndarray:
    shape = records.domain.shape(clique)
    flat = np.ravel_multi_index([records[a].astype(int) for a in clique], shape)
    return np.bincount(flat, minlength=records.domain.size(clique)).reshape(shape)


def stop_after(rounds: int) -> Progress:
    left = itertools.count(rounds, -1)

    def progress(step: str, done: float) -> None:
        if next(left) == 0:
            raise InterruptedError

    return progress


def test_it_stops_between_rounds() -> None:
    with pytest.raises(InterruptedError):
        measured("aim", xor(3000), Cost(0.05), progress=stop_after(3))


# --- the size limit ----------------------------------------------------------------------------------


def test_room_counts_the_cells_of_the_junction_tree() -> None:
    domain = Domain.of(a=10, b=10, c=10, d=10)
    room = Room(domain, [("a", "b"), ("b", "c"), ("c", "d")])
    assert room.cells == pytest.approx(300)
    assert room.fits([("a", "d")], 1999) == []
    assert room.fits([("a", "d")], 2001) == [("a", "d")]
    room.add(("a", "d"))
    assert room.cells == pytest.approx(2000)
    assert room.fits([("a", "b"), ("a", "c"), ("a", "b", "c", "d")], 2001)[0] == ("a", "b")
    assert ("a", "b", "c", "d") not in room.fits([("a", "b", "c", "d")], 9999)
    assert room.fits([("a", "b", "c", "d")], 10_001) == [("a", "b", "c", "d")]


@pytest.mark.parametrize("seed", range(5))
def test_what_fits_is_within_the_limit_once_it_is_in(seed: int) -> None:
    rng = np.random.default_rng(seed)
    domain = Domain(tuple("abcdefgh"), tuple(int(s) for s in rng.integers(2, 9, 8)))
    pairs = list(itertools.combinations(domain.attributes, 2))
    room, limit = Room(domain), 3000.0
    while fitting := [c for c in room.fits(pairs, limit) if c in pairs]:
        room.add(fitting[int(rng.integers(len(fitting)))])
        assert room.cells <= limit * (1 + 1e-9)
        pairs = [c for c in pairs if c not in fitting or rng.random() < 0.8]


def test_candidates_stay_within_public_limits() -> None:
    wide = Domain(tuple(f"x{i}" for i in range(60)), (4,) * 60)
    found = adaptive.candidates(Task(wide))
    assert sum(len(c) == 2 for c in found) == 60 * 59 // 2
    assert len(found) <= adaptive.MANY
    huge = Domain.of(a=2000, b=2000, c=2000, d=2)
    some = adaptive.candidates(Task(huge, max_cells=1e6))
    assert sum(huge.size(c) for c in some if len(c) > 1) <= adaptive.SCORED_CELLS * 1e6
    assert ("a", "d") in some
    assert ("a", "b") not in some
    assert adaptive.scored_cells(Task(huge, max_cells=1e6)) >= sum(huge.size(c) for c in some)
