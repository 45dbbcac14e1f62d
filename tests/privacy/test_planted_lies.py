"""Each lie that would break the guarantee is planted in the real code, and the audit named beside it catches it.

An audit is a function that raises AssertionError. It passes on the honest code and fails on the lie; `LIES` is
the table that `privacy_budget.md` shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from diary import Diary
from scipy import stats

from dpsynth.budget import Budget, Cost
from dpsynth.domain import Clique, Domain
from dpsynth.engines.base import Counts
from dpsynth.engines.memory import MemoryEngine, bound_and_split
from dpsynth.entropy import system
from dpsynth.errors import BudgetError
from dpsynth.privacy import accounting, curator, intake, ledger, noise, sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import BoundedRange, Charge, Composed, DiscreteGaussian, Event, ZcdpGrant
from dpsynth.privacy.ledger import Ledger, Unit
from dpsynth.records import Records

DOMAIN = Domain.of(a=100, b=100)
PAIR: Clique = ("a", "b")
UNLIKELY = 1e-9


class WatchedEngine:
    """Counts like the memory engine, and tells the diary."""

    def __init__(self, diary: Diary, rows_per_unit: int = 1, rows: int = 5_000) -> None:
        rng = np.random.default_rng(5)
        self._inner = MemoryEngine(
            Records.of(DOMAIN, {"a": rng.integers(0, 100, rows), "b": rng.integers(0, 100, rows)}),
            rows_per_unit,
        )
        self._diary = diary
        self.rows_per_unit = rows_per_unit

    @property
    def domain(self) -> Domain:
        return DOMAIN

    def marginals(self, cliques: Sequence[Clique]) -> Any:
        self._diary.lines.append("count")
        return self._inner.marginals(cliques)

    def exact(self, clique: Clique) -> Counts:
        return self._inner.marginals([clique])[clique]


def open_door(rows_per_unit: int = 1, refuses: bool = False) -> tuple[Curator, Diary, WatchedEngine]:
    diary = Diary(refuses)
    engine = WatchedEngine(diary, rows_per_unit)
    return Curator(engine, diary, system()), diary, engine


# --- audits ----------------------------------------------------------------------------------------


def audit_noise_scale() -> None:
    """White box: 10,000 residuals of measured cells against exact counts, chi-square on the charged sigma."""
    door, diary, engine = open_door()
    [found] = door.measure([PAIR], Cost(0.02), "audit")
    [charged] = diary.charged
    assert isinstance(charged, DiscreteGaussian)
    residuals = (found.values - engine.exact(PAIR)).ravel()
    statistic = float((residuals.astype(float) ** 2).sum()) / charged.sigma**2
    assert stats.chi2.cdf(statistic, len(residuals)) > UNLIKELY, "less noise than was charged"
    assert stats.chi2.sf(statistic, len(residuals)) > UNLIKELY, "more noise than was charged"


def audit_charge_before_count() -> None:
    """Structural: each answer is charged once, before the engine is asked; refused means never counted."""
    estimates = {("a",): np.zeros(100), ("b",): np.zeros(100)}
    asks: list[Callable[[Curator], Any]] = [
        lambda door: door.measure([PAIR], Cost(0.1), "audit"),
        lambda door: door.select(estimates, Cost(0.1), "audit"),
        lambda door: door.errors(estimates, Cost(0.1), "audit"),
    ]
    for ask in asks:
        door, diary, _ = open_door()
        ask(door)
        assert diary.lines == ["charge", "count"]
        door, diary, _ = open_door(refuses=True)
        with pytest.raises(BudgetError):
            ask(door)
        assert diary.lines == []


def audit_sensitivity() -> None:
    """Measured: what k rows of one unit move, against what the charged event says they move."""
    k = 3
    door, diary, _ = open_door(rows_per_unit=k)
    door.measure([PAIR, ("a",)], Cost(0.1), "audit")
    [charged] = diary.charged
    assert isinstance(charged, DiscreteGaussian)
    moved = k  # all rows of the unit fall into one cell
    rho = sum((moved / charged.sigma) ** 2 / 2 for _ in range(2))
    assert rho <= 0.1 + 1e-12, "one unit costs more than the charge says"
    assert charged.sensitivity >= moved
    assert sensitivity.l1_score_sensitivity(k) >= moved


def audit_bounded_units() -> None:
    """Measured: whatever a unit brings, at most k of its rows are counted."""
    domain = Domain.of(a=3)
    records = Records.of(domain, {"a": np.arange(900) % 3})
    units = [b"greedy"] * 600 + [str(i).encode() for i in range(300)]
    taken = intake.take_in(records, units, rows_per_unit=2, holdout=0.0)
    counted = int(taken.engine.marginals([("a",)])[("a",)].sum())
    assert counted == 2 + 300


def audit_selection_odds() -> None:
    """Many choices on two neighbouring tables: no answer's odds may change by more than the charged epsilon."""
    cost, tries = Cost(0.5), 4_000
    odds = []
    for extra in (0, 1):
        domain = Domain.of(a=2, b=2)
        # Adding the row (0, 0) moves one clique's error up and the other's down by one.
        rows = np.zeros(extra, dtype=np.int64)
        records = Records.of(domain, {"a": rows, "b": rows})
        estimates = {("a",): np.array([1.0, 0.0]), ("b",): np.array([0.0, 1.0])}
        diary = Diary()
        door = Curator(MemoryEngine(records, 1), diary, system())
        picks = sum(door.select(estimates, cost, "audit") == ("a",) for _ in range(tries))
        odds.append(picks)
        [epsilon] = {event.epsilon for event in diary.charged if isinstance(event, BoundedRange)}
    low, high = (stats.binomtest(n, tries).proportion_ci(1 - UNLIKELY) for n in odds[::-1])
    least = math.log(high.low / low.high)
    assert least <= epsilon, f"odds moved by {least:.2f} or more, charged {epsilon:.2f}"


def audit_reserved_plan() -> None:
    """Structural: an account accepts the planned charges only, each once and in order, and no grant gives more."""
    event, other = DiscreteGaussian(10.0, 1), DiscreteGaussian(5.0, 1)
    plan = [Charge("first", event), Charge("loop", ZcdpGrant(0.01))]
    account = Ledger.in_memory(Budget(3.0, 1e-6), Unit("row"))
    with account.reserve("audit", plan, Budget(3.0, 1e-6)) as run:
        with pytest.raises(BudgetError):
            run.charge("first", other)
        run.charge("first", event)
        with pytest.raises(BudgetError):
            run.charge("first", event)
        grant = run.grant("loop")
        grant.charge("inside", DiscreteGaussian(10.0, 1))
        with pytest.raises(BudgetError):
            grant.charge("inside", DiscreteGaussian(10.0, 1, count=2))


def audit_repetitions() -> None:
    """Closed form: n repetitions at sigma cost what one at sigma / sqrt(n) costs, and more than one."""
    once = accounting.certify([DiscreteGaussian(40.0, 1)], 1e-6).epsilon
    many = accounting.certify([DiscreteGaussian(40.0, 1, count=16)], 1e-6).epsilon
    equal = accounting.certify([DiscreteGaussian(10.0, 1)], 1e-6).epsilon
    assert many == pytest.approx(equal, rel=2e-3)
    assert many > 2 * once
    twice = accounting.certify([Composed((BoundedRange(0.5), BoundedRange(0.5)))], 1e-6).epsilon
    assert accounting.certify([BoundedRange(0.5, count=2)], 1e-6).epsilon == pytest.approx(twice, rel=1e-6)


AUDITS = [
    audit_noise_scale,
    audit_charge_before_count,
    audit_sensitivity,
    audit_bounded_units,
    audit_selection_odds,
    audit_reserved_plan,
    audit_repetitions,
]


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
def test_the_honest_code_passes(audit: Callable[[], None]) -> None:
    audit()


# --- lies --------------------------------------------------------------------------------------------


def halve_the_noise(plant: pytest.MonkeyPatch) -> None:
    honest = noise.discrete_gaussian
    plant.setattr(noise, "discrete_gaussian", lambda sigma, shape, stream: honest(sigma / 2, shape, stream))


def take_tenth_off_the_noise(plant: pytest.MonkeyPatch) -> None:
    honest = noise.discrete_gaussian
    plant.setattr(noise, "discrete_gaussian", lambda sigma, shape, stream: honest(sigma * 0.9, shape, stream))


def release_without_noise(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(noise, "discrete_gaussian", lambda sigma, shape, stream: np.zeros(shape, dtype=np.int64))


def skip_the_charge(plant: pytest.MonkeyPatch) -> None:
    honest = Curator.__init__

    def careless(self: Curator, engine: Any, account: Any, *rest: Any) -> None:
        class Deaf:
            def charge(self, purpose: str, event: Event) -> None:
                pass

        honest(self, engine, Deaf(), *rest)

    plant.setattr(Curator, "__init__", careless)


def charge_after_the_count(plant: pytest.MonkeyPatch) -> None:
    def late(self: Curator, cliques: Any, cost: Cost, purpose: str, weights: Any = None) -> Any:
        exact = self._exact(cliques)
        shares = [1.0] * len(cliques)
        self._account.charge(purpose, sensitivity.measure_event(cost, self.rows_per_unit, shares))
        scales = sensitivity.sigmas(cost, self.rows_per_unit, shares)
        return [self._noised(c, exact[c], s) for c, s in zip(cliques, scales, strict=True)]

    plant.setattr(Curator, "measure", late)


def forget_rows_per_unit(plant: pytest.MonkeyPatch) -> None:
    honest, event = sensitivity.sigmas, sensitivity.measure_event
    plant.setattr(curator.sensitivity, "sigmas", lambda cost, k, weights: honest(cost, 1, weights))
    plant.setattr(curator.sensitivity, "measure_event", lambda cost, k, weights: event(cost, 1, weights))


def keep_every_row_of_a_unit(plant: pytest.MonkeyPatch) -> None:
    def generous(records: Records, units: Any, *, rows_per_unit: int, holdout: float, run_key: bytes) -> Any:
        return bound_and_split(records, units, rows_per_unit=10**6, holdout=holdout, run_key=run_key)

    plant.setattr(intake, "bound_and_split", generous)


def monotonic_coefficient(plant: pytest.MonkeyPatch) -> None:
    honest = noise.choose
    plant.setattr(noise, "choose", lambda scores, eps, k, stream: honest(scores, 2 * eps, k, stream))


def select_without_noise(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(noise, "choose", lambda scores, eps, k, stream: int(np.argmax(scores)))


def accept_any_charge(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(ledger.Run, "charge", lambda self, purpose, event: None)


def overspend_the_grant(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(ledger.Grant, "charge", lambda self, purpose, event: None)


def ignore_repetitions(plant: pytest.MonkeyPatch) -> None:
    honest = accounting.certify

    def once(events: Sequence[Event], delta: float) -> Any:
        singles = [
            DiscreteGaussian(e.sigma, e.sensitivity) if isinstance(e, DiscreteGaussian) else e for e in events
        ]
        return honest(singles, delta)

    plant.setattr(accounting, "certify", once)


LIES: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[], None]]] = [
    (halve_the_noise, audit_noise_scale),
    (take_tenth_off_the_noise, audit_noise_scale),
    (release_without_noise, audit_noise_scale),
    (skip_the_charge, audit_charge_before_count),
    (charge_after_the_count, audit_charge_before_count),
    (forget_rows_per_unit, audit_sensitivity),
    (keep_every_row_of_a_unit, audit_bounded_units),
    (monotonic_coefficient, audit_selection_odds),
    (select_without_noise, audit_selection_odds),
    (accept_any_charge, audit_reserved_plan),
    (overspend_the_grant, audit_reserved_plan),
    (ignore_repetitions, audit_repetitions),
]


@pytest.mark.parametrize(("lie", "audit"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_the_lie_is_caught(
    lie: Callable[[pytest.MonkeyPatch], None], audit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lie(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        audit()
