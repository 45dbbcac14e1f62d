"""The clique-tree mechanism: what it charges is what it planned, and what it finds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.budget import Budget, Cost
from dpsynth.domain import Domain
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import Stream
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import METHODS, Found, Task
from dpsynth.mechanisms.coarse import merges_for
from dpsynth.mechanisms.tree import MARGINALS, _light, _split
from dpsynth.pgm import fit
from dpsynth.privacy.accounting import calibrate
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import DiscreteGaussian, Event, GdpGrant, flatten
from dpsynth.privacy.filters import gdp_mu
from dpsynth.privacy.ledger import Ledger, Unit
from dpsynth.privacy.ledger_run import Grant
from dpsynth.records import Records
from dpsynth.workload import Workload

TREE = METHODS["tree"]
GENEROUS = Budget(100.0, 1e-3)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Records, int]:
    """(records, rows per unit): any small domain, also one column, cells of one, no records."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    domain = Domain(tuple(f"x{i}" for i in range(len(sizes))), tuple(sizes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from([0, 1, 50, 2000]))
    columns = {a: rng.integers(0, s, n) for a, s in zip(domain.attributes, sizes, strict=True)}
    return Records.of(domain, columns), draw(st.integers(1, 5))


def run(records: Records, task: Task, cost: Cost, seed: bytes = b"tree") -> Found:
    """In a real account, which accepts exactly the planned charges and keeps grants to their limits."""
    plan = TREE.plan(task, cost)
    unit = (
        Unit("row", None, task.rows_per_unit)
        if task.rows_per_unit == 1
        else Unit("person", "id", task.rows_per_unit)
    )
    with Ledger.in_memory(GENEROUS, unit).reserve("test", plan, GENEROUS) as reserved:
        engine = MemoryEngine(records, task.rows_per_unit)
        found = TREE.measure(Curator(engine, reserved, Stream.for_tests(seed)), task, cost, fit)
        assert reserved.outstanding == ()
    return found


@given(
    table=tables(),
    rho=st.sampled_from([1e-5, 1e-2, 1.0, 20.0]),
    ordered=st.booleans(),
    gaps=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_any_table_is_charged_as_planned(
    table: tuple[Records, int], rho: float, ordered: bool, gaps: bool
) -> None:
    records, k = table
    every = frozenset(records.domain.attributes)
    task = Task(
        records.domain,
        k,
        ordered=every if ordered else frozenset(),
        apart=dict.fromkeys(every, 1 if gaps else 0),
    )
    found = run(records, task, Cost(rho))
    assert {a for m in found.measurements for a in m.clique} == every
    assert found.generator.domain == records.domain
    assert len(found.generator.sample(41, np.random.default_rng(1))) == 41
    known = TREE.noise(task, Cost(rho))
    assert all(m.sigma == known[m.clique] for m in found.measurements[: len(every)])


def price(event: Event) -> float:
    return (
        event.mu**2 / 2
        if isinstance(event, GdpGrant)
        else math.fsum(
            part.count * (part.sensitivity / part.sigma) ** 2 / 2
            for part in flatten([event])
            if isinstance(part, DiscreteGaussian)
        )
    )


@pytest.mark.parametrize("attributes", [1, 2, 3, 6])
@pytest.mark.parametrize("rho", [1e-5, 1e-2, 1.0, 30.0])
def test_the_plan_costs_what_was_promised(attributes: int, rho: float) -> None:
    domain = Domain.from_sizes({f"x{i}": 3 + i for i in range(attributes)})
    total = math.fsum(price(charge.event) for charge in TREE.plan(Task(domain, 2), Cost(rho)))
    assert 0.999 * rho <= total <= rho * (1 + 1e-9)


def test_grants_are_used_up_and_never_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[tuple[float, float]] = []
    honest = Grant.charge

    def watched(self: Grant, purpose: str, event: Event) -> None:
        honest(self, purpose, event)
        assert isinstance(self.event, GdpGrant)
        spent.append((gdp_mu([event]) ** 2, self.event.mu**2))

    monkeypatch.setattr(Grant, "charge", watched)
    for seed in range(4):
        records = chain(3000, seed)
        run(records, Task(records.domain, 3), Cost(0.05), bytes([seed]))
    assert len(spent) == 8
    for used, limit in spent:
        assert 0.9999 * limit <= used <= limit * (1 + 1e-9)


CHAIN = Domain.of(a=6, b=5, c=4, d=4, wide=60)


def chain(n: int, seed: int) -> Records:
    """a decides b decides c, d; in `wide` most of 60 cells are nearly empty."""
    rng = np.random.default_rng(seed)
    columns = {"a": rng.integers(0, 6, n)}
    for before, after in itertools.pairwise("abcd"):
        columns[after] = np.where(
            rng.random(n) < 0.8, columns[before] % CHAIN[after], rng.integers(0, CHAIN[after], n)
        )
    columns["wide"] = np.minimum(rng.geometric(0.4, n) - 1, 59)
    return Records.of(CHAIN, columns)


def test_it_finds_what_hangs_together_and_merges_what_is_light() -> None:
    records = chain(20_000, 1)
    found = run(records, Task(CHAIN, ordered=frozenset(["wide"])), Cost(0.02))
    cliques = {frozenset(m.clique) for m in found.measurements}
    assert {frozenset("ab"), frozenset("bc"), frozenset("cd")} <= {
        frozenset(p) for c in cliques for p in itertools.combinations(c, 2)
    }
    merged = [m for m in found.measurements if "wide" in m.merges]
    assert all(m.values.shape[m.clique.index("wide")] < 30 for m in merged)


def test_errors_fall_with_the_budget_and_stay_below_independent_columns() -> None:
    def error(name: str, rho: float) -> float:
        records = chain(20_000, 2)
        task = Task(CHAIN, ordered=frozenset(["wide"]))
        if name == "tree":
            model = run(records, task, Cost(rho)).generator
        else:
            model = (
                METHODS[name]
                .measure(
                    Curator(MemoryEngine(records, 1), _Free(), Stream.for_tests(b"1")), task, Cost(rho), fit
                )
                .generator
            )
        pairs = list(itertools.combinations(CHAIN.attributes, 2))
        exact = MemoryEngine(records, 1).marginals(pairs)
        return float(np.mean([np.abs(exact[p] - model.marginal(p)).sum() / 2 / len(records) for p in pairs]))

    poor, rich, columns = error("tree", 1e-3), error("tree", 0.1), error("independent", 0.1)
    assert rich < 0.02
    assert rich < poor / 2
    assert columns > 6 * rich


class _Free:
    def charge(self, purpose: str, event: Event) -> None:
        pass


def test_a_pair_nobody_asked_for_is_not_measured() -> None:
    records = chain(5000, 3)
    task = Task(CHAIN, workload=Workload(pairs=(("a", "b"),)))
    for one in run(records, task, Cost(0.1)).measurements:
        assert len(one.clique) == 1 or {"a", "b"} <= set(one.clique)


def test_a_model_keeps_to_its_limit_of_cells() -> None:
    records = chain(5000, 4)
    found = run(records, Task(CHAIN, max_cells=150.0), Cost(1.0))
    pairs = [m for m in found.measurements if len(m.clique) > 1]
    assert pairs
    assert all(m.values.size <= 150 for m in pairs)


def test_calibration_spends_the_promise_by_one_theorem() -> None:
    task = Task(Domain.of(a=10, b=4, c=7, d=2), 3)
    cost = calibrate(lambda c: [charge.event for charge in TREE.plan(task, c)], Budget(1.0, 1e-9))
    assert [c.purpose for c in TREE.plan(task, cost)].count(MARGINALS) == 2


def test_a_wide_ordered_column_keeps_as_many_cells_as_rows_and_noise_bear() -> None:
    """Four times the rows: twice the cells; a cell that stands out stays alone."""
    domain, cost = Domain(("wide", "x", "y", "z"), (2000, 3, 3, 3)), Cost(0.001)
    task = Task(domain, ordered=frozenset({"wide"}))
    stages = _split(task, cost).stages
    kept = []
    for rows in (4_000, 16_000):
        counts = np.random.default_rng(rows).poisson(rows / 2000, 2000)
        counts[1000] = rows
        seen = Measurement(("wide",), counts, 1.0)
        cells = merges_for(task, [seen], _light(task, stages, 2 * rows))["wide"]
        assert (cells == cells[1000]).sum() == 1
        kept.append(int(cells.max()) + 1)
    assert 5 < kept[0] < 30
    assert 1.5 < kept[1] / kept[0] < 2.6


def test_with_much_to_spend_cells_stay_that_noise_does_not_hide() -> None:
    domain = Domain(("wide", "x", "y", "z"), (2000, 3, 3, 3))
    task = Task(domain, ordered=frozenset({"wide"}))
    lights = [_light(task, _split(task, Cost(rho)).stages, 1e6) for rho in (0.01, 1.0, 100.0)]
    assert lights[0] < 50 * lights[1]
    assert lights[1] == pytest.approx(10 * lights[2], rel=0.15)
