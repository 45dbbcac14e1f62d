"""Each lie about noisy gradients that published table GANs told is planted in the real code, and an audit catches it.

As in `test_planted_lies.py`: an audit raises AssertionError; it passes on the honest code and fails on the lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dpsynth.domain import Domain
from dpsynth.engines.base import Drawn
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import Stream, system
from dpsynth.gan import critic as critic_module
from dpsynth.gan import table as table_module
from dpsynth.gan.critic import Critic
from dpsynth.gan.layout import Layout
from dpsynth.gan.table import LogitTable
from dpsynth.privacy import noise, sgd
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import DpSgd
from dpsynth.privacy.sgd import GRID, Dense, Indicators, Part, SgdPlan
from dpsynth.records import Records

DOMAIN = Domain.of(a=4, b=3, c=2)
UNLIKELY = 1e-9
K = 3


class Diary:
    def __init__(self) -> None:
        self.charged: list[Any] = []

    def charge(self, purpose: str, event: Any) -> None:
        self.charged.append(event)


def records_of(rows: int) -> Records:
    rng = np.random.default_rng(3)
    return Records.of(DOMAIN, {a: rng.integers(0, DOMAIN[a], rows) for a in DOMAIN.attributes})


def door_to(rows: int, rows_per_unit: int = 1) -> tuple[Curator, Diary]:
    diary = Diary()
    units = np.arange(rows) // rows_per_unit
    return Curator(MemoryEngine(records_of(rows), rows_per_unit, units), diary, system()), diary


def still(size: int, seen: list[int] | None = None) -> sgd.Gradient:
    """Gradients of zero; `seen` takes the sizes of batches."""

    def gradient(records: Records) -> list[Part]:
        if seen is not None:
            seen.append(len(records))
        return [Dense(np.zeros((len(records), size)))]

    return gradient


def contribution(values: np.ndarray[Any, Any], units: list[int]) -> np.ndarray[Any, Any]:
    """What these records add, in units of the clip (which is 2)."""
    batch = [Drawn(records_of(len(units)), np.array(units))]
    return sgd.exact_sum(batch, lambda _: [Dense(values.copy())], 2.0) / GRID


# --- audits ----------------------------------------------------------------------------------------


def audit_clipped_units() -> None:
    """Measured: how far one unit moves the sum, whatever its gradients and however many rows it has."""
    rng = np.random.default_rng(4)
    others = rng.normal(0, 3, (40, 6))
    for rows in (1, K, 50):
        for length in (1e-3, 1.0, 1e6):
            own = np.full((rows, 6), length)
            with_unit = contribution(np.concatenate([others, own]), [*range(40), *[40] * rows])
            moved = with_unit - contribution(others, list(range(40)))
            assert np.linalg.norm(moved) <= 1 + 1e-12, "a unit moves the sum by more than the clip"
            expected = min(1.0, rows * length * math.sqrt(6) / 2.0)
            assert np.linalg.norm(moved) == pytest.approx(expected, rel=1e-2), "gradients are lost"


def audit_finite_sums() -> None:
    """A record whose gradient is not finite adds nothing, and takes nothing from the others."""
    others = np.ones((5, 6))
    rest = contribution(others, list(range(5)))
    for bad in (math.nan, math.inf):
        spoiled = np.ones((6, 6))
        spoiled[5, 2] = bad
        with np.errstate(invalid="ignore"):
            assert np.array_equal(contribution(spoiled, list(range(6))), rest), "a record was heard"


def audit_gradient_noise() -> None:
    """White box: 10,000 coordinates of sums of nothing, chi-square on the charged noise; no two steps alike."""
    door, diary = door_to(50)
    sums = list(door.noisy_gradients(SgdPlan(0.5, 2, 1.7, 2.0), still(5_000), "audit"))
    [charged] = diary.charged
    assert len(sums) == charged.steps, "more steps than were charged"
    scaled = np.concatenate(sums) / (2.0 * charged.sigma)
    statistic = float((scaled**2).sum())
    assert stats.chi2.cdf(statistic, len(scaled)) > UNLIKELY, "less noise than was charged"
    assert stats.chi2.sf(statistic, len(scaled)) > UNLIKELY, "more noise than was charged"
    assert abs(float(sums[0] @ sums[1])) < 7 * math.sqrt(5_000) * (2.0 * charged.sigma) ** 2, (
        "noise used twice"
    )


def audit_poisson_batches() -> None:
    """Coins: batch sizes spread as those of independent coins of the charged rate; each unit whole or not at all."""
    steps, rate, units = 300, 0.3, 400
    door, diary = door_to(units * K, K)
    seen: list[int] = []
    list(door.noisy_gradients(SgdPlan(rate, steps, 1.0, 2.0), still(1, seen), "audit"))
    [charged] = diary.charged
    assert charged == DpSgd(rate, 1.0, len(seen))
    sizes = np.array(seen) / K
    assert (sizes == np.rint(sizes)).all(), "rows of a unit are drawn apart"
    spread = units * charged.rate * (1 - charged.rate)
    statistic = float(((sizes - units * charged.rate) ** 2).sum() / spread)
    assert stats.chi2.cdf(statistic, steps) > UNLIKELY, "sizes are too even: these are no independent coins"
    assert stats.chi2.sf(statistic, steps) > UNLIKELY, "another rate than was charged"


def audit_records_apart() -> None:
    """Each row of the critic's gradients is that of its record alone, and of the norm that the plan counts on."""
    records = records_of(30)
    judge = Critic(Layout(DOMAIN), 2, 10.0)
    [together] = judge.gradient(records)
    assert isinstance(together, Indicators)
    assert np.allclose(together.squares(), 1.0), "a record's gradient is not of norm 1"
    for row in range(30):
        [alone] = judge.gradient(records.take(slice(row, row + 1)))
        assert isinstance(alone, Indicators)
        assert np.array_equal(alone.values[0], together.values[row]), "a record's gradient depends on others"
        assert np.array_equal(alone.cells[0], together.cells[row])


def audit_own_objects() -> None:
    """Components of the generator are rows of their own, and differ; the critic's mean is not the caller's array."""
    layout = Layout(DOMAIN)
    ones = layout.joined({a: np.full(DOMAIN[a], 1 / DOMAIN[a]) for a in DOMAIN.attributes})
    made = LogitTable(layout, ones, 20, np.random.default_rng(0))
    judge = Critic(layout, 2, 10.0)
    [part] = judge.gradient(records_of(1))
    given = np.ones(part.size)
    judge.learn(given)
    before = judge.slope(made.shares)
    given[:] = 0
    made.improve(judge, 0.05)
    assert len(np.unique(made.shares, axis=0)) == 20, "components are one object"
    again = LogitTable(layout, ones, 20, np.random.default_rng(0))
    assert np.array_equal(judge.slope(again.shares), before), "the critic holds the caller's array"


# --- lies ------------------------------------------------------------------------------------------


def leave_gradients_unclipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sgd, "_scales", lambda parts, drawn, clip: np.full(len(drawn.records), GRID / clip))


def forget_other_rows_of_a_unit(patch: pytest.MonkeyPatch) -> None:
    honest = sgd._scales
    patch.setattr(
        sgd,
        "_scales",
        lambda parts, drawn, clip: honest(parts, Drawn(drawn.records, np.arange(len(drawn.records))), clip),
    )


def clip_after_the_sum(patch: pytest.MonkeyPatch) -> None:
    def scales(parts: Any, drawn: Drawn, clip: float) -> Any:
        length = float(np.linalg.norm(sum(part.values.sum(axis=0) for part in parts)))
        return np.full(len(drawn.records), GRID / clip * min(1.0, clip / length))

    patch.setattr(sgd, "_scales", scales)


def clip_each_part_alone(patch: pytest.MonkeyPatch) -> None:
    """Per layer, with the noise of one: here a gradient of two parts is as long as two clips."""
    honest = sgd.exact_sum

    def each(batch: Any, gradient: Any, clip: float) -> Any:
        drawn = list(batch)
        halves = [
            honest(drawn, lambda r, i=i: [Dense(p.values[:, i::2]) for p in gradient(r)], clip)  # type: ignore[misc]
            for i in range(2)
        ]
        return np.concatenate(halves)

    patch.setattr(sgd, "exact_sum", each)


def let_nan_through(patch: pytest.MonkeyPatch) -> None:
    honest = sgd._scales
    patch.setattr(
        sgd,
        "_scales",
        lambda parts, drawn, clip: np.where((s := honest(parts, drawn, clip)) == 0, GRID / clip, s),
    )


def halve_the_gradient_noise(patch: pytest.MonkeyPatch) -> None:
    honest = noise.discrete_gaussian
    patch.setattr(noise, "discrete_gaussian", lambda sigma, shape, stream: honest(sigma / 2, shape, stream))


def repeat_the_noise(patch: pytest.MonkeyPatch) -> None:
    honest, kept = noise.discrete_gaussian, {}

    def same(sigma: float, shape: Any, stream: Stream) -> Any:
        return kept.setdefault(shape, honest(sigma, shape, stream))

    patch.setattr(noise, "discrete_gaussian", same)


def take_more_steps(patch: pytest.MonkeyPatch) -> None:
    honest = MemoryEngine.poisson_batches
    patch.setattr(MemoryEngine, "poisson_batches", lambda e, rate, steps, s: honest(e, rate, 2 * steps, s))


def _instead_of_coins(
    patch: pytest.MonkeyPatch, choose: Callable[[MemoryEngine, float], Iterator[np.ndarray[Any, Any]]]
) -> None:
    def batches(engine: MemoryEngine, rate: float, steps: int, stream: Stream) -> Iterator[Iterator[Drawn]]:
        assert engine.units is not None
        for _, rows in zip(range(steps), choose(engine, rate), strict=False):
            yield iter([Drawn(engine.records.take(rows), engine.units[rows])])

    patch.setattr(MemoryEngine, "poisson_batches", batches)


def draw_fixed_batches(patch: pytest.MonkeyPatch) -> None:
    """As many units each time, priced as Poisson."""

    def choose(engine: MemoryEngine, rate: float) -> Iterator[np.ndarray[Any, Any]]:
        assert engine.units is not None
        rng, units = np.random.default_rng(1), int(engine.units[-1]) + 1
        while True:
            yield np.flatnonzero(np.isin(engine.units, rng.permutation(units)[: round(rate * units)]))

    _instead_of_coins(patch, choose)


def draw_rows_for_units(patch: pytest.MonkeyPatch) -> None:
    def choose(engine: MemoryEngine, rate: float) -> Iterator[np.ndarray[Any, Any]]:
        rng = np.random.default_rng(1)
        while True:
            yield np.flatnonzero(rng.random(len(engine.records)) < rate)

    _instead_of_coins(patch, choose)


def draw_more_than_the_rate(patch: pytest.MonkeyPatch) -> None:
    honest = MemoryEngine.poisson_batches
    patch.setattr(MemoryEngine, "poisson_batches", lambda e, rate, steps, s: honest(e, 1.2 * rate, steps, s))


def normalise_by_the_batch(patch: pytest.MonkeyPatch) -> None:
    """What batch normalisation does to gradients."""
    honest = Critic.gradient

    def mixed(judge: Critic, records: Records) -> list[Part]:
        [part] = honest(judge, records)
        assert isinstance(part, Indicators)
        busy = np.bincount(part.cells[:, 0], minlength=1).max()
        return [Indicators(part.cells, part.sizes, part.values / busy)]

    patch.setattr(Critic, "gradient", mixed)


def weigh_cliques_by_one(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(critic_module, "weights", lambda pairs, crossed: np.ones(pairs + crossed))


def alias_the_components(patch: pytest.MonkeyPatch) -> None:
    honest = LogitTable.__init__

    def aliased(table: LogitTable, *given: Any) -> None:
        honest(table, *given)
        table._free = np.broadcast_to(table._free[:1], table._free.shape).copy()

    patch.setattr(table_module.LogitTable, "__init__", aliased)


def alias_the_mean(patch: pytest.MonkeyPatch) -> None:
    honest = Critic.slope
    patch.setattr(Critic, "learn", lambda judge, noisy: setattr(judge, "_mean", noisy))

    def from_the_array(judge: Critic, shares: Any) -> Any:
        cut = sum(judge._sizes[: len(judge._left)])
        judge._real = judge._matrices(judge._mean[:cut], judge._places, 1)[0]
        judge._real_crossed = judge._matrices(judge._mean[cut:], judge._places_crossed, judge._labels)
        return honest(judge, shares)

    patch.setattr(Critic, "slope", from_the_array)


LIES: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[], None]]] = [
    (leave_gradients_unclipped, audit_clipped_units),
    (forget_other_rows_of_a_unit, audit_clipped_units),
    (clip_after_the_sum, audit_clipped_units),
    (clip_each_part_alone, audit_clipped_units),
    (let_nan_through, audit_finite_sums),
    (halve_the_gradient_noise, audit_gradient_noise),
    (repeat_the_noise, audit_gradient_noise),
    (take_more_steps, audit_gradient_noise),
    (draw_fixed_batches, audit_poisson_batches),
    (draw_rows_for_units, audit_poisson_batches),
    (draw_more_than_the_rate, audit_poisson_batches),
    (normalise_by_the_batch, audit_records_apart),
    (weigh_cliques_by_one, audit_records_apart),
    (alias_the_components, audit_own_objects),
    (alias_the_mean, audit_own_objects),
]


@pytest.mark.parametrize("audit", dict.fromkeys(audit for _, audit in LIES))
def test_the_honest_code_passes(audit: Callable[[], None]) -> None:
    audit()


@pytest.mark.parametrize(("lie", "audit"), LIES, ids=lambda case: case.__name__)
def test_the_lie_is_caught(
    lie: Callable[[pytest.MonkeyPatch], None], audit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lie(monkeypatch)
    with np.errstate(invalid="ignore"), pytest.raises(AssertionError):
        audit()
