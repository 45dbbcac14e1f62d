"""Discovery: the threshold against brute force, units and not rows, and each lie about it planted and caught."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dpsynth import discovering
from dpsynth.budget import Budget
from dpsynth.domain import Domain
from dpsynth.engines.memory import MemoryEngine
from dpsynth.engines.raw import RawColumn
from dpsynth.entropy import system
from dpsynth.errors import BudgetError
from dpsynth.privacy import discovery, noise
from dpsynth.privacy.accounting import certify
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.discovery import BoundSearch, ValueSearch, tail, threshold
from dpsynth.privacy.events import DiscreteGaussian, Event, PartitionSelection, flatten
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.synthesis import plan
from dpsynth.table import Table

UNLIKELY = 1e-7


class Account:
    def __init__(self, refuses: bool = False) -> None:
        self.events: list[Event] = []
        self.purposes: list[str] = []
        self.refuses = refuses

    def charge(self, purpose: str, event: Event) -> None:
        if self.refuses:
            raise BudgetError("B999", "spent")
        self.purposes.append(purpose)
        self.events.append(event)


def door(
    words: Sequence[str], units: Sequence[int], rows_per_unit: int = 1, refuses: bool = False
) -> tuple[Curator, Account]:
    """The curator of one column of texts; ``units[i]`` brings ``words[i]``."""
    known = list(dict.fromkeys(words))
    values = np.array([known.index(word) for word in words], dtype=np.int64)
    return _door(RawColumn(values, np.ones(len(words), dtype=bool), known), units, rows_per_unit, refuses)


def _door(
    raw: RawColumn, units: Sequence[int], rows_per_unit: int, refuses: bool = False
) -> tuple[Curator, Account]:
    account = Account(refuses)
    records = Records.of(Domain.of(a=1), {"a": np.zeros(len(units), dtype=np.int64)})
    engine = MemoryEngine(records, rows_per_unit, np.array(units, dtype=np.int64), {"city": raw})
    return Curator(engine, account, system()), account


def search(sigma: float = 2.0, rows_per_unit: int = 1, delta: float = 1e-9, most: int = 100) -> ValueSearch:
    return ValueSearch("city", sigma, rows_per_unit, delta, most)


# --- the threshold -------------------------------------------------------------------------------------


def exact_tail(sigma: float, start: int) -> float:
    """P(X >= start) by summing every term that a float can hold."""
    reach = int(40 * sigma) + 2
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    mass = np.exp(-(x**2) / (2 * sigma**2))
    return float(mass[x >= start].sum() / mass.sum())


@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.0, 3.0, 25.0, 400.0])
def test_the_tail_is_bounded_closely(sigma: float) -> None:
    for start in {math.ceil(z * sigma) for z in (0.5, 2.0, 4.0, 6.0, 7.5)}:
        bound, truth = float(tail(sigma, start)), exact_tail(sigma, start)
        if truth > 1e-250:
            assert truth <= bound
            if start >= 4 * sigma and sigma >= 1:
                assert bound <= 1.15 * truth


@given(
    sigma=st.floats(0.3, 3000.0), k=st.integers(1, 1000), delta=st.sampled_from([1e-5, 1e-9, 1e-13, 1e-20])
)
@settings(max_examples=60, deadline=None)
def test_the_threshold_is_the_least_that_holds_for_all_values_together(
    sigma: float, k: int, delta: float
) -> None:
    t = threshold(sigma, k, delta)
    assert k * tail(sigma, t - 1) <= Decimal(delta)
    assert t == 2 or k * tail(sigma, t - 2) > Decimal(delta)
    assert k * exact_tail(sigma, t - 1) <= delta * (1 + 1e-9)


def test_a_threshold_grows_with_what_a_unit_may_bring() -> None:
    found = [search(rows_per_unit=k).threshold for k in (1, 10, 1000)]
    assert found == sorted(set(found))


# --- audits: each passes on the honest code and fails on a lie -------------------------------------------


def audit_threshold_for_all_rows() -> None:
    """A lone unit brings k values that nobody else has: one of them is released with probability delta at most.

    delta is large here, so that it can be counted: 0.2 for k = 200 values together, in 400 tries. Without k in the
    threshold each value has it for itself, and a run without any of them is as good as impossible.
    """
    k, tries, delta = 200, 400, 0.2
    words, units = [f"v{i}" for i in range(k)], [0] * k
    seen = 0
    for _ in range(tries):
        curator, account = door(words, units, rows_per_unit=k)
        seen += bool(curator.values(search(3.0, k, delta)))
        assert account.events == [PartitionSelection(DiscreteGaussian(3.0, 1, k), delta)]
    assert stats.binom.sf(seen - 1, tries, delta) > UNLIKELY, f"{seen} of {tries} runs told of a lone unit"


def audit_units_not_rows() -> None:
    """600 rows of one unit are one unit: its value is below any threshold. 600 units are above it."""
    curator, _ = door(["lone"] * 600 + ["common"] * 600, [0] * 600 + list(range(1, 601)), rows_per_unit=600)
    assert curator.values(search(2.0, 600)) == ["common"]


def audit_order_of_values() -> None:
    """However the rows come, the values come out alike: sorted."""
    words = ["b", "a", "c"] * 100
    for order in (words, words[::-1], sorted(words)):
        curator, _ = door(order, range(300))
        assert curator.values(search()) == ["a", "b", "c"]
    curator, _ = door(["z"] * 400 + ["y"] * 500 + ["x"] * 300, range(1200))
    assert curator.values(search(most=2)) == ["y", "z"], "the two that most units have, sorted"


def audit_delta_is_counted() -> None:
    """The plan's certificate at the run's delta is that of its events with the searches' delta taken off; and their noise
    is paid for k values of a unit."""
    schema, budget = _schema(rows_per_unit=3), Budget(1.0, 1e-6)
    made = plan(schema, method="independent", epsilon=budget.epsilon, delta=budget.delta)
    parts = [e for e in flatten([c.event for c in made.charges]) if isinstance(e, PartitionSelection)]
    assert [part.noise.count * part.noise.sensitivity for part in parts] == [3, 3, 3]
    lost = sum(part.delta for part in parts)
    assert 0 < lost < budget.delta
    for asked in made.searches:
        if isinstance(asked, ValueSearch):
            assert 3 * exact_tail(asked.sigma, asked.threshold - 1) <= asked.charge.event.delta * (1 + 1e-9)
    others = [e for e in flatten([c.event for c in made.charges]) if not isinstance(e, PartitionSelection)]
    rest = [*others, *(part.noise for part in parts)]
    left = (budget.delta - lost) / (1 - lost)
    assert made.certificate.epsilon == pytest.approx(certify(rest, left).epsilon, rel=1e-3)
    assert certify([PartitionSelection(DiscreteGaussian(9.0, 1), 0.9e-6)], 1e-6).epsilon > (
        certify([DiscreteGaussian(9.0, 1)], 1e-6).epsilon * 1.05
    )


def audit_noise_of_searches() -> None:
    """A value that as many units have as the threshold says is released half of the time, not always."""
    asked = search(6.0)
    t, tries, seen = asked.threshold, 300, 0
    for _ in range(tries):
        curator, _ = door(["v"] * t, range(t))
        seen += bool(curator.values(asked))
    assert stats.binomtest(seen, tries, 1 - exact_tail(6.0, 1)).pvalue > UNLIKELY


def audit_charge_before_search() -> None:
    """Refused means never counted."""
    scale = (0.0, 1.0, 10.0)
    asks: list[Callable[[Curator], Any]] = [
        lambda curator: curator.values(search()),
        lambda curator: curator.bounds(BoundSearch("city", 2.0, 1, scale)),
    ]
    for ask in asks:
        curator, account = door(["a"], [0], refuses=True)
        for name in ("units_with", "units_between"):
            object.__setattr__(curator._engine, name, _never)
        with pytest.raises(BudgetError):
            ask(curator)
        assert not account.events


def _never(*_: Any) -> Any:
    raise AssertionError("counted before it was charged")


AUDITS = [
    audit_threshold_for_all_rows,
    audit_units_not_rows,
    audit_order_of_values,
    audit_delta_is_counted,
    audit_noise_of_searches,
    audit_charge_before_search,
]


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
def test_the_honest_code_passes(audit: Callable[[], None]) -> None:
    audit()


# --- lies ------------------------------------------------------------------------------------------------


def threshold_for_one_value(plant: pytest.MonkeyPatch) -> None:
    honest = discovery.threshold
    plant.setattr(discovery, "threshold", lambda sigma, values, delta: honest(sigma, 1, delta))


def count_rows(plant: pytest.MonkeyPatch) -> None:
    def rows(self: RawColumn, units: Any, values: Any, size: int) -> Any:
        return np.bincount(values[self.known], minlength=size).astype(np.int64)

    plant.setattr(RawColumn, "_units_each", rows)


def order_of_appearance(plant: pytest.MonkeyPatch) -> None:
    def as_they_came(asked: ValueSearch, words: list[str], noisy: Any) -> list[str]:
        return [word for word, n in zip(words, noisy, strict=True) if n >= asked.threshold][: asked.most]

    plant.setattr(discovery, "released_values", as_they_came)
    plant.setattr(
        discovery, "in_order", lambda counts: (list(counts), np.array(list(counts.values()), dtype=np.int64))
    )


def forget_the_delta(plant: pytest.MonkeyPatch) -> None:
    from dpsynth.privacy import accounting

    plant.setattr(accounting, "failure", lambda events: 0.0)


def delta_of_nothing(plant: pytest.MonkeyPatch) -> None:
    honest = ValueSearch.charge.fget  # type: ignore[attr-defined]

    def free(self: ValueSearch) -> Any:
        charge = honest(self)
        return type(charge)(charge.purpose, PartitionSelection(charge.event.noise, 0.0))

    plant.setattr(ValueSearch, "charge", property(free))


def forget_rows_per_unit_in_the_noise(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(discovery.sensitivity, "values_of_a_unit", lambda k: 1)


def search_without_noise(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(noise, "discrete_gaussian", lambda sigma, shape, stream: np.zeros(shape, dtype=np.int64))


def search_for_free(plant: pytest.MonkeyPatch) -> None:
    def careless(self: Curator, asked: ValueSearch) -> list[str]:
        return sorted(self._engine.units_with(asked.column))

    plant.setattr(Curator, "values", careless)


LIES: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[], None]]] = [
    (threshold_for_one_value, audit_threshold_for_all_rows),
    (count_rows, audit_units_not_rows),
    (order_of_appearance, audit_order_of_values),
    (forget_the_delta, audit_delta_is_counted),
    (delta_of_nothing, audit_delta_is_counted),
    (forget_rows_per_unit_in_the_noise, audit_delta_is_counted),
    (search_without_noise, audit_noise_of_searches),
    (search_for_free, audit_charge_before_search),
]


@pytest.mark.parametrize(("lie", "audit"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_the_lie_is_caught(
    lie: Callable[[pytest.MonkeyPatch], None], audit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lie(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        audit()


# --- bounds, and what is refused --------------------------------------------------------------------------


def _schema(rows_per_unit: int = 1) -> Schema:
    unit = {"entity": "person", "column": "who", "rows_per_unit": rows_per_unit}
    return Schema(
        columns={
            "who": {"type": "id"},
            "city": {"type": "category", "discover": {"max_values": 9}},
            "job": {"type": "category", "discover": {"max_values": 9}},
            "cost": {"type": "number", "min": 0, "discover": "bounds"},
            "plan": {"type": "boolean"},
        },
        unit=unit,
    )


def test_bounds_lie_around_the_intervals_that_units_have() -> None:
    scale = (-10.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0, 1000.0)
    numbers = np.array([3.0] * 300 + [-1.5] * 300 + [999.0])
    asked = BoundSearch("city", 2.0, 1, scale)
    curator, account = _door(RawColumn(numbers, np.ones(601, dtype=bool)), range(601), 1)
    assert curator.bounds(asked) == (-2.0, 5.0)
    assert account.events == [PartitionSelection(DiscreteGaussian(2.0, 1), 0.0)]
    same, _ = _door(RawColumn(numbers, np.ones(601, dtype=bool)), [0] * 601, 601)
    assert same.bounds(BoundSearch("city", 2.0, 601, scale)) == (-10.0, 1000.0), "a lone unit moves no bound"
    gone, _ = _door(RawColumn(numbers, np.zeros(601, dtype=bool)), range(601), 1)
    assert gone.bounds(asked) == (-10.0, 1000.0)


def test_the_last_edge_belongs_to_the_last_interval() -> None:
    raw = RawColumn(np.array([10.0] * 50), np.ones(50, dtype=bool))
    assert raw.units_between(np.arange(50), (0.0, 1.0, 10.0)).tolist() == [0, 50]


def test_what_a_search_refuses() -> None:
    curator, account = door(["a"], [0], rows_per_unit=3)
    with pytest.raises(ValueError, match="another size"):
        curator.values(search(rows_per_unit=1))
    assert not account.events
    with pytest.raises(ValueError, match="numbers"):
        RawColumn(np.zeros(1), np.ones(1, dtype=bool)).units_with(np.zeros(1, dtype=np.int64))
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="private"):
            travel(RawColumn(np.zeros(1), np.ones(1, dtype=bool)))


def test_searches_are_constants_of_the_plan() -> None:
    """What they may spend is fixed by the schema and the budget; the threshold is a whole number."""
    made = plan(_schema(), method="tree", epsilon=1.0, delta=1e-9)
    assert [s.column for s in made.searches] == ["city", "job", "cost"]
    assert all(isinstance(s.threshold, int) for s in made.searches)
    rho = [Fraction(s.rows_per_unit) / (2 * Fraction(s.sigma) ** 2) for s in made.searches]
    assert float(sum(rho)) == pytest.approx(made.cost.rho * 0.15 / 0.85, rel=1e-4)
    assert made.domain["city"] == 10


def test_rows_are_chosen_by_what_they_hold_alone() -> None:
    """Somebody with a new value changes nobody's mark, by which the rows of a unit are ranked."""
    schema = _schema(2)
    words = np.array(["a", "b", "c"], dtype=object)

    def marks(known: np.ndarray, codes: list[int]) -> np.ndarray:
        values = {name: np.array(codes, dtype=np.int32) for name in ("city", "job")}
        values |= {"cost": np.array([float(code) for code in codes]), "plan": np.zeros(len(codes), np.uint8)}
        missing = {name: np.zeros(len(codes), dtype=bool) for name in values}
        table = Table(schema, values, missing, words={"city": known, "job": known})
        return discovering.ranked(table).matrix()

    alone = marks(words[1:], [0, 1])
    beside = marks(words, [1, 2, 0])
    assert np.array_equal(alone[:, :5], beside[:2, :5])
    assert len(np.unique(beside[:, 1])) == 3
