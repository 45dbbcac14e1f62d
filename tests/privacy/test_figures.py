"""Figures bought for the public: charged first, as noisy as was paid for, and moved by one unit as stated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dpsynth.budget import Budget, Cost
from dpsynth.domain import Clique, Domain
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import system
from dpsynth.errors import BudgetError
from dpsynth.privacy import accounting, curator, figures, noise
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import DiscreteGaussian, Event
from dpsynth.privacy.figures import PURPOSE, Purchase, buy, check
from dpsynth.privacy.ledger import Ledger, Unit
from dpsynth.records import Records

DOMAIN = Domain.of(**{f"c{i}": 4 for i in range(20)})
UNLIKELY = 1e-7
SHARES = {name: np.array([1.0, 0.0, 0.0, 0.0]) for name in DOMAIN.attributes}


class Diary:
    """An account that notes what came first, or refuses."""

    def __init__(self, refuses: bool = False) -> None:
        self.lines: list[str] = []
        self.events: list[Event] = []
        self._refuses = refuses

    def charge(self, purpose: str, event: Event) -> None:
        if self._refuses:
            raise BudgetError("B210", "no")
        assert purpose == PURPOSE
        self.lines.append("charge")
        self.events.append(event)


class Watched(MemoryEngine):
    diary: Diary

    def marginals(self, cliques: Sequence[Clique]) -> Any:
        self.diary.lines.append("count")
        return super().marginals(cliques)


def rows(seed: int, count: int = 400) -> Records:
    rng = np.random.default_rng(seed)
    return Records.of(DOMAIN, {name: rng.integers(0, 4, count) for name in DOMAIN.attributes})


def door(records: Records, diary: Diary, k: int = 1) -> Curator:
    engine = Watched(records, k)
    engine.diary = diary
    return Curator(engine, diary, system())


def wanted(epsilon: float = 1.0, k: int = 1) -> Purchase:
    return Purchase.planned(DOMAIN, Budget(epsilon, 1e-6), k)


def audit_order() -> None:
    diary = Diary()
    purchase = wanted()
    buy(door(rows(1), diary), purchase, SHARES, 400.0)
    assert diary.lines == ["charge", "count"]
    assert diary.events == [purchase.charge.event]
    refused = Diary(refuses=True)
    with pytest.raises(BudgetError):
        buy(door(rows(1), refused), purchase, SHARES, 400.0)
    assert refused.lines == []


def audit_noise() -> None:
    """400 residuals against what the charged event says; and the stated standard error is that noise."""
    residuals = []
    for seed in range(20):
        diary, records = Diary(), rows(seed, 2000)
        [figure] = buy(door(records, diary), wanted(0.5), SHARES, 2000.0)
        [event] = diary.events
        assert isinstance(event, DiscreteGaussian)
        for one in figure["by_column"]:
            exact = np.bincount(records[one["column"]].astype(int), minlength=4)
            truth = np.abs(exact - SHARES[one["column"]] * 2000).sum() / 4000
            assert one["standard_error"] == pytest.approx(event.sigma / 4000, rel=1e-5)
            residuals.append((one["value"] - truth) * 4000 / event.sigma)
    statistic = float(np.square(residuals).sum())
    assert stats.chi2.cdf(statistic, len(residuals)) > UNLIKELY, "less noise than was charged"
    assert stats.chi2.sf(statistic, len(residuals)) > UNLIKELY, "more noise than was charged"


def audit_movement() -> None:
    """Without noise to speak of: k rows of one unit move each distance by at most what the event was priced for."""
    k = 3
    purchase = Purchase(DOMAIN.attributes, Cost(9000.0), k)  # sigma 0.1: noise other than 0 below 1e-20
    for seed in range(5):
        records = rows(seed)
        found = []
        for some in (records, records.take(slice(0, len(records) - k))):
            [figure] = buy(door(some, Diary(), k), purchase, SHARES, 400.0)
            found.append([one["value"] * 800 for one in figure["by_column"]])
        assert np.abs(np.subtract(*found)).max() <= k + 1e-2
    event = wanted(k=k).charge.event
    assert isinstance(event, DiscreteGaussian)
    assert (event.sensitivity, event.count) == (k, len(DOMAIN))


@pytest.mark.parametrize("audit", [audit_order, audit_noise, audit_movement])
def test_the_truth_passes(audit: Callable[[], None]) -> None:
    audit()


def half_the_noise(plant: pytest.MonkeyPatch) -> None:
    honest = noise.discrete_gaussian
    plant.setattr(curator.noise, "discrete_gaussian", lambda sigma, *rest: honest(sigma / 2, *rest))


def count_first(plant: pytest.MonkeyPatch) -> None:
    honest = Curator.errors

    def careless(self: Curator, estimates: Any, cost: Cost, purpose: str) -> Any:
        self._engine.marginals(list(estimates))
        return honest(self, estimates, cost, purpose)

    plant.setattr(Curator, "errors", careless)


def price_for_one_row(plant: pytest.MonkeyPatch) -> None:
    honest = figures.sensitivity.measure_event
    plant.setattr(figures.sensitivity, "measure_event", lambda cost, k, weights: honest(cost, 1, weights))


def claim_to_be_exact(plant: pytest.MonkeyPatch) -> None:
    honest = figures._figure
    plant.setattr(figures, "_figure", lambda value, spread: honest(value, spread / 3))


LIES = [
    (half_the_noise, audit_noise),
    (claim_to_be_exact, audit_noise),
    (count_first, audit_order),
    (price_for_one_row, audit_movement),
]


@pytest.mark.parametrize(("lie", "audit"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_lie_is_caught(
    lie: Callable[[pytest.MonkeyPatch], None], audit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lie(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        audit()


def test_the_price_is_kept() -> None:
    purchase = wanted(0.1)
    assert accounting.certify([purchase.charge.event], 1e-6).epsilon <= 0.1
    assert accounting.certify([purchase.charge.event], 1e-6).epsilon > 0.099


def test_nothing_is_bought_that_was_not_reserved() -> None:
    budget = Budget(1.0, 1e-6)
    purchase, other = wanted(0.5), wanted(0.4)
    with Ledger.in_memory(budget, Unit("row")).reserve("test", [purchase.charge], budget) as run:
        open_door = Curator(MemoryEngine(rows(1), 1), run, system())
        with pytest.raises(BudgetError, match="other parameters"):
            buy(open_door, other, SHARES, 400.0)
        buy(open_door, purchase, SHARES, 400.0)
        with pytest.raises(BudgetError, match="not planned"):
            buy(open_door, purchase, SHARES, 400.0)


def test_a_stated_figure_is_checked_against_its_charge() -> None:
    purchase, diary = wanted(), Diary()
    found = buy(door(rows(1), diary), purchase, SHARES, 400.0)
    event = {"kind": "discrete_gaussian", "sigma": purchase.sigma, "sensitivity": 1, "count": len(DOMAIN)}
    check(found, [("other", {}), (PURPOSE, event)])
    check([], [])
    for figures_, charges in (
        (found, []),
        (found, [(PURPOSE, {**event, "sigma": 1.0})]),
        (found, [(PURPOSE, {**event, "count": 1})]),
        ([{**found[0], "standard_error": 1e-6}], [(PURPOSE, event)]),
        ([*found, *found], [(PURPOSE, event)]),
    ):
        with pytest.raises(ValueError):
            check(figures_, charges)


@pytest.mark.parametrize("total", [0.2, 1.4, 49.5, 210.47])
def test_figures_of_few_rows_read_back(total: float) -> None:
    """The spread follows from the whole number of rows that is published, not from its fraction."""
    purchase = wanted()
    found = buy(door(rows(1), Diary()), purchase, SHARES, total)
    event = purchase.charge.event
    assert isinstance(event, DiscreteGaussian)
    check(found, [(PURPOSE, {"sigma": event.sigma, "count": event.count})])
