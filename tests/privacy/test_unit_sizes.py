"""How many rows units have: charged, counted by unit, released with noise. Each lie that would break that is planted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from diary import Diary
from scipy import stats

from dpsynth.budget import Cost
from dpsynth.domain import Domain
from dpsynth.engines.memory import MemoryEngine, bound_and_split
from dpsynth.entropy import system
from dpsynth.errors import BudgetError
from dpsynth.privacy import curator, intake, noise, persons, sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import DiscreteGaussian
from dpsynth.records import Records

K, UNLIKELY = 4, 1e-9
COST = Cost(0.005)


def engine_of(units: np.ndarray, bound: int = K) -> MemoryEngine:
    """What a fit would count, for rows of these units."""
    records = Records.of(Domain.of(a=2), {"a": np.zeros(len(units), dtype=int)})
    names = [b"%d" % u for u in units]
    return intake.take_in(records, names, rows_per_unit=bound, holdout=0.0).engine


def rows_of(sizes: list[int]) -> np.ndarray:
    """Row i's unit, for units with so many rows each."""
    return np.repeat(np.arange(len(sizes)), sizes)


def answer(engine: MemoryEngine) -> tuple[np.ndarray, DiscreteGaussian, Diary]:
    diary = Diary()
    found = Curator(engine, diary, system()).unit_sizes(COST, persons.PURPOSE)
    [event] = diary.charged
    assert isinstance(event, DiscreteGaussian)
    return found.counts, event, diary


def exact(engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The histogram without its noise."""
    with monkeypatch.context() as quiet:
        quiet.setattr(
            noise, "discrete_gaussian", lambda sigma, shape, stream: np.zeros(shape, dtype=np.int64)
        )
        return answer(engine)[0]


# --- audits: each passes on the honest code -----------------------------------------------------------------


def audit_one_unit_moves_one_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured: the histogram with and without one unit, of every size, against the charged sensitivity."""
    others = [1, 2, 2, 3, 4, 4]
    for size in (*range(1, K + 1), 50):
        without = exact(engine_of(rows_of(others)), monkeypatch)
        with_it = exact(engine_of(rows_of([*others, size])), monkeypatch)
        _, event, _ = answer(engine_of(rows_of(others)))
        moved = np.abs(with_it - without)
        assert moved.sum() <= event.sensitivity, f"a unit of {size} rows moves the histogram by {moved.sum()}"
        assert moved.sum() == 1, "a unit is counted once"


def audit_the_price_is_the_scale(_: pytest.MonkeyPatch) -> None:
    """The event's own zCDP price is the cost that was given, to the six digits of a scale."""
    _, event, _ = answer(engine_of(rows_of([1, 2])))
    rho = event.sensitivity**2 / (2 * event.sigma**2)
    assert rho <= COST.rho
    assert rho > 0.99 * COST.rho
    assert event.sensitivity == sensitivity.UNIT_COUNT
    assert event.count == 1


def audit_noise_is_what_was_charged(_: pytest.MonkeyPatch) -> None:
    """Chi-square of 400 x 4 residuals against the charged scale."""
    engine = engine_of(rows_of([1, 2, 3, 3]))
    rounds = [answer(engine) for _ in range(400)]
    residuals = np.concatenate([counts - np.array([1, 1, 2, 0]) for counts, _, _ in rounds])
    statistic = float((residuals.astype(float) ** 2).sum()) / rounds[0][1].sigma ** 2
    assert stats.chi2.cdf(statistic, len(residuals)) > UNLIKELY
    assert stats.chi2.sf(statistic, len(residuals)) > UNLIKELY


def audit_charge_before_count(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(rows_of([1, 2]))
    diary = Diary(refuses=True)
    counted: list[str] = []
    honest = MemoryEngine.unit_sizes
    with monkeypatch.context() as watched:
        watched.setattr(MemoryEngine, "unit_sizes", lambda self: counted.append("count") or honest(self))
        with pytest.raises(BudgetError):
            Curator(engine, diary, system()).unit_sizes(COST, persons.PURPOSE)
    assert counted == [], "a refused question was counted"


AUDITS = [
    audit_one_unit_moves_one_cell,
    audit_the_price_is_the_scale,
    audit_noise_is_what_was_charged,
    audit_charge_before_count,
]


@pytest.mark.parametrize("audit", AUDITS)
def test_the_honest_code_passes(audit: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        audit(patch)


# --- lies ---------------------------------------------------------------------------------------------------


def count_rows_instead_of_units(plant: pytest.MonkeyPatch) -> None:
    """A unit of n rows counts n times in its cell."""
    honest = MemoryEngine.unit_sizes
    plant.setattr(
        MemoryEngine, "unit_sizes", lambda self: honest(self) * np.arange(1, self.rows_per_unit + 1)
    )


def count_every_size_up_to_its_own(plant: pytest.MonkeyPatch) -> None:
    """Units with *at least* so many rows: one unit moves as many cells as it has rows."""
    honest = MemoryEngine.unit_sizes
    plant.setattr(MemoryEngine, "unit_sizes", lambda self: np.cumsum(honest(self)[::-1])[::-1])


def let_every_row_in(plant: pytest.MonkeyPatch) -> None:
    """A greedy unit keeps all its rows."""
    honest = bound_and_split
    plant.setattr(
        intake, "bound_and_split", lambda *a, **more: honest(*a, **{**more, "rows_per_unit": 10**6})
    )


def forget_that_the_bound_counts(plant: pytest.MonkeyPatch) -> None:
    """Priced for a sensitivity below the true one."""
    honest = persons.sizes_event
    plant.setattr(persons, "sizes_event", lambda cost: DiscreteGaussian(honest(cost).sigma / 2, 1))


def halve_the_noise(plant: pytest.MonkeyPatch) -> None:
    honest = noise.discrete_gaussian
    plant.setattr(noise, "discrete_gaussian", lambda sigma, shape, stream: honest(sigma / 2, shape, stream))


def count_before_the_charge(plant: pytest.MonkeyPatch) -> None:
    def dishonest(self: Any, cost: Cost, purpose: str) -> Any:
        counted = self._engine.unit_sizes()
        self._account.charge(purpose, persons.sizes_event(cost))
        return counted

    plant.setattr(curator.Curator, "unit_sizes", dishonest)


LIES = [
    (count_rows_instead_of_units, audit_one_unit_moves_one_cell),
    (count_every_size_up_to_its_own, audit_one_unit_moves_one_cell),
    (let_every_row_in, audit_one_unit_moves_one_cell),
    (forget_that_the_bound_counts, audit_the_price_is_the_scale),
    (halve_the_noise, audit_noise_is_what_was_charged),
    (count_before_the_charge, audit_charge_before_count),
]


@pytest.mark.parametrize(("lie", "audit"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_the_lie_is_caught(lie: Callable[..., None], audit: Callable[..., None]) -> None:
    with pytest.MonkeyPatch.context() as plant:
        lie(plant)
        with pytest.raises((AssertionError, ValueError, IndexError)):
            audit(plant)


# --- the verifier --------------------------------------------------------------------------------------------


def test_only_the_histogram_is_priced_for_one_unit() -> None:
    one, rows = DiscreteGaussian(9.0, 1), DiscreteGaussian(9.0, K)
    purposes = ["one-way marginals", persons.PURPOSE]
    assert persons.by_rows(purposes, [rows, one], several_rows=True) == [rows]
    assert persons.by_rows(purposes, [rows, one], several_rows=False) == [rows, one]
    for other in (DiscreteGaussian(9.0, 1, 2), DiscreteGaussian(9.0, 2)):
        assert persons.by_rows(purposes, [rows, other], several_rows=True) == [rows, other]
    twice = [persons.PURPOSE, persons.PURPOSE]
    assert persons.by_rows(twice, [one, one], several_rows=True) == [one, one]
