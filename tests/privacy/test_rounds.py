"""Rounds of an adaptive loop: what they cost, and lies about them that an audit catches.

As in `test_planted_lies.py`: each lie is planted in the real code, and the audit beside it raises AssertionError.
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
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import system
from dpsynth.errors import BudgetError
from dpsynth.privacy import curator, gdp, noise, rounds, sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import BoundedRange, Charge, Composed, DiscreteGaussian, Event
from dpsynth.privacy.ledger import Ledger, Unit
from dpsynth.privacy.rounds import Round
from dpsynth.records import Records

DOMAIN = Domain.of(a=60, b=60)
PAIR: Clique = ("a", "b")
UNLIKELY = 1e-9
ROUND = Round(Cost(0.02), Cost(0.02))


class Watched(MemoryEngine):
    """Counts, and tells the diary."""

    diary: Diary

    def marginals(self, cliques: Sequence[Clique]) -> Any:
        self.diary.lines.append("count")
        return super().marginals(cliques)


def open_door(records: Records, refuses: bool = False, rows_per_unit: int = 1) -> tuple[Curator, Diary]:
    diary = Diary(refuses)
    engine = Watched(records, rows_per_unit)
    object.__setattr__(engine, "diary", diary)
    return Curator(engine, diary, system()), diary


def many() -> Records:
    rng = np.random.default_rng(5)
    return Records.of(DOMAIN, {"a": rng.integers(0, 60, 5000), "b": rng.integers(0, 60, 5000)})


# --- audits ------------------------------------------------------------------------------------------


def audit_round_is_charged_once_before_it_counts() -> None:
    """Structural: one charge of both steps, then counts; refused means never counted."""
    door, diary = open_door(many())
    door.choose_and_measure({("a",): np.zeros(60), ("b",): np.zeros(60)}, ROUND, "audit")
    assert diary.lines[0] == "charge"
    assert diary.lines.count("charge") == 1
    [charged] = diary.charged
    assert isinstance(charged, Composed)
    assert charged.events[0] == sensitivity.select_event(ROUND.choice)
    assert isinstance(charged.events[1], DiscreteGaussian)
    door, diary = open_door(many(), refuses=True)
    with pytest.raises(BudgetError):
        door.choose_and_measure({("a",): np.zeros(60)}, ROUND, "audit")
    assert diary.lines == []


def audit_round_odds() -> None:
    """Many choices on two neighbours: no answer's odds may change by more than the charged epsilon, weights and all."""
    tries, odds, epsilons, spent = 1800, [], set(), Round(Cost(0.5), Cost(0.5))
    domain = Domain.of(a=2, b=2)
    for extra in (0, 1):
        rows = np.zeros(extra, dtype=np.int64)
        records = Records.of(domain, {"a": rows, "b": rows})
        # Adding the row (0, 0) moves one clique's error up and the other's down, both by the largest weight.
        estimates = {("a",): np.array([1.0, 0.0]), ("b",): np.array([0.0, 1.0])}
        weights, picks = {("a",): 8, ("b",): 8}, 0
        door, diary = open_door(records)
        for _ in range(tries):
            found = door.choose_and_measure(estimates, spent, "audit", None, weights)
            picks += found.clique == ("a",)
        odds.append(picks)
        for event in diary.charged:
            assert isinstance(event, Composed)
            assert isinstance(event.events[0], BoundedRange)
            epsilons.add(event.events[0].epsilon)
    [epsilon] = epsilons
    low, high = (stats.binomtest(n, tries).proportion_ci(1 - UNLIKELY) for n in odds[::-1])
    least = math.log(high.low / low.high)
    assert least <= epsilon, f"odds moved by {least:.2f} or more, charged {epsilon:.2f}"


def audit_scores_are_whole_and_move_by_the_weight() -> None:
    """Measured: scores of neighbours with estimates that end in .5; whole, and no further apart than the bound."""
    rng = np.random.default_rng(1)
    domain = Domain.of(a=3, b=2)
    cliques: list[Clique] = [("a",), ("b",), ("a", "b")]
    for _ in range(60):
        rows = {"a": rng.integers(0, 3, 5), "b": rng.integers(0, 2, 5)}
        estimates = {c: rng.integers(-4, 4, domain.shape(c)) / 2 for c in cliques}
        weights = {c: int(rng.integers(1, 4)) for c in cliques}
        scores = []
        for n in (4, 5):
            records = Records.of(domain, {a: values[:n] for a, values in rows.items()})
            door, _ = open_door(records)
            scores.append(door._scores(curator._asked(domain, estimates, None, weights)))
        assert all(s.dtype == np.int64 for s in scores)
        assert np.abs(scores[1] - scores[0]).max() <= max(weights.values())


def audit_round_noise() -> None:
    """White box: 3,600 residuals of a round's counts, chi-square on the sigma that was charged."""
    records = many()
    door, diary = open_door(records)
    found = door.choose_and_measure({PAIR: np.zeros((60, 60))}, ROUND, "audit")
    [charged] = diary.charged
    assert isinstance(charged, Composed)
    counts = charged.events[1]
    assert isinstance(counts, DiscreteGaussian)
    assert counts.sigma == found.sigma
    exact: Counts = MemoryEngine(records, 1).marginals([PAIR])[PAIR]
    statistic = float(((found.values - exact).astype(float) ** 2).sum()) / counts.sigma**2
    assert stats.chi2.cdf(statistic, exact.size) > UNLIKELY, "less noise than was charged"
    assert stats.chi2.sf(statistic, exact.size) > UNLIKELY, "more noise than was charged"


def audit_round_price() -> None:
    """Brute force: a two-point choice of the charged range, then a Gaussian, is never above the mu it is priced at."""
    for choice, counts in [(0.001, 0.009), (0.02, 0.02), (0.1, 0.2)]:
        spent = Round(Cost(choice), Cost(counts))
        mu = math.sqrt(spent.price(1))
        epsilon = sensitivity.select_event(spent.choice).epsilon
        shift = 1 / spent.sigma(1)
        for level in np.linspace(0.0, 3 * mu, 7):
            priced = stats.norm.cdf(mu / 2 - level / mu) - math.exp(level) * stats.norm.cdf(
                -mu / 2 - level / mu
            )
            worst = 0.0
            for t in np.linspace(0, epsilon, 41):
                p = -math.expm1(t - epsilon) / -math.expm1(-epsilon)
                worst = max(worst, _mixed(p, t, level, shift) + _mixed(1 - p, t - epsilon, level, shift))
            assert worst <= priced * (1 + 1e-6) + 1e-12


def _mixed(p: float, loss: float, level: float, mu: float) -> float:
    """p times the delta at level - loss of a Gaussian pair."""
    x = level - loss
    return float(p * (stats.norm.cdf(mu / 2 - x / mu) - math.exp(x) * stats.norm.cdf(-mu / 2 - x / mu)))


AUDITS = [
    audit_round_is_charged_once_before_it_counts,
    audit_round_odds,
    audit_scores_are_whole_and_move_by_the_weight,
    audit_round_noise,
    audit_round_price,
]


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
def test_the_honest_code_passes(audit: Callable[[], None]) -> None:
    audit()


# --- lies --------------------------------------------------------------------------------------------


def skip_the_charge(plant: pytest.MonkeyPatch) -> None:
    honest = Curator.choose_and_measure

    def careless(self: Curator, *args: Any, **options: Any) -> Any:
        account, self._account = self._account, Deaf()
        try:
            return honest(self, *args, **options)
        finally:
            self._account = account

    plant.setattr(Curator, "choose_and_measure", careless)


class Deaf:
    def charge(self, purpose: str, event: Event) -> None:
        pass


def charge_the_measurement_only(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Round, "event", lambda self, k: Composed((DiscreteGaussian(self.sigma(k), k),)))


def forget_the_weights(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(curator.sensitivity, "l1_score_sensitivity", lambda k, weight=1: k)


def monotonic_coefficient(plant: pytest.MonkeyPatch) -> None:
    honest = noise.choose
    plant.setattr(noise, "choose", lambda scores, eps, k, stream: honest(scores, 2 * eps, k, stream))


def choose_the_best(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(noise, "choose", lambda scores, eps, k, stream: int(np.argmax(scores)))


def score_from_unrounded_estimates(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(curator, "_integers", lambda estimate, weight: estimate)

    def scores(self: Curator, asked: Any) -> Counts:
        exact = self._exact(asked.cliques)
        found = [np.abs(exact[c] - table).sum() for c, table in asked.estimates.items()]
        return np.rint(asked.weights * np.array(found)).astype(np.int64) - asked.penalties

    plant.setattr(Curator, "_scores", scores)


def halve_the_noise_of_a_round(plant: pytest.MonkeyPatch) -> None:
    honest = Curator._noised
    plant.setattr(
        Curator, "_noised", lambda self, c, exact, sigma: _louder(honest(self, c, exact, sigma / 2), sigma)
    )


def _louder(found: Any, sigma: float) -> Any:
    return type(found)(found.clique, found.values, sigma)


def price_the_choice_at_nothing(plant: pytest.MonkeyPatch) -> None:
    honest = gdp.event_mu

    def kind(event: Event) -> float:
        return honest(event.events[1]) if isinstance(event, Composed) else honest(event)

    plant.setattr(rounds, "event_mu", kind)


LIES = [
    (skip_the_charge, audit_round_is_charged_once_before_it_counts),
    (charge_the_measurement_only, audit_round_is_charged_once_before_it_counts),
    (forget_the_weights, audit_round_odds),
    (monotonic_coefficient, audit_round_odds),
    (choose_the_best, audit_round_odds),
    (score_from_unrounded_estimates, audit_scores_are_whole_and_move_by_the_weight),
    (halve_the_noise_of_a_round, audit_round_noise),
    (price_the_choice_at_nothing, audit_round_price),
]


@pytest.mark.parametrize(("lie", "audit"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_the_lie_is_caught(
    lie: Callable[[pytest.MonkeyPatch], None], audit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lie(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        audit()


# --- prices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows_per_unit", [1, 3])
@pytest.mark.parametrize("left", [1e-8, 1e-3, 0.4, 1.1])
def test_a_round_spends_what_is_left_and_not_more(left: float, rows_per_unit: int) -> None:
    spent = rounds.spending(left, 0.1, rows_per_unit)
    assert left * (1 - rounds.CLOSE) <= spent.price(rows_per_unit) <= left


def test_the_largest_round_has_the_smallest_noise_that_has_a_price() -> None:
    spent = rounds.spending(60.0, 0.1, 2)
    assert 1 <= spent.sigma(2) < 1.001
    assert spent.price(2) < 60


def test_together_is_cheaper_than_one_by_one() -> None:
    spent = Round(Cost(0.001), Cost(0.009))
    apart = math.fsum(gdp.event_mu(part) ** 2 for part in spent.event(1).events)
    assert spent.price(1) < 0.96 * apart


def test_a_grant_takes_exactly_its_rounds() -> None:
    """A grant of n times the price holds n rounds and no more; what is left is told, outside a grant nothing is."""
    step = Round(Cost(0.001), Cost(0.009))
    plan = [Charge("loop", rounds.grant_event(Cost(2 * step.price(1) * (1 + 1e-9))))]
    budget = Budget(3.0, 1e-6)
    engine = MemoryEngine(Records.of(Domain.of(a=3), {"a": np.zeros(10, dtype=int)}), 1)
    with Ledger.in_memory(budget, Unit("row")).reserve("test", plan, budget) as run:
        outside = Curator(engine, run, system())
        with pytest.raises(ValueError, match="grant"):
            _ = outside.remaining
        door = outside.within("loop")
        for expected in (4, 3, 2, 1):
            assert door.remaining == pytest.approx(expected * step.price(1), rel=1e-6)
            door.choose_and_measure({("a",): np.zeros(3)}, step, "step")
        with pytest.raises(BudgetError):
            door.choose_and_measure({("a",): np.zeros(3)}, step, "step")


@pytest.mark.parametrize("bad", [{("a",): 0}, {("a",): 1.5}, {("a",): -1}, {("a",): 2**40}])
def test_weights_that_are_none(bad: dict[Clique, Any]) -> None:
    door, diary = open_door(Records.of(Domain.of(a=2), {"a": np.zeros(3, dtype=int)}))
    with pytest.raises(ValueError, match="whole numbers"):
        door.choose_and_measure({("a",): np.zeros(2)}, ROUND, "bad", None, bad)
    with pytest.raises(ValueError, match="whole numbers"):
        door.choose_and_measure({("a",): np.zeros(2)}, ROUND, "bad", {("a",): 0.5})  # type: ignore[dict-item]
    assert diary.lines == []


def test_weights_and_penalties_decide() -> None:
    """Almost without noise the largest weight * error - penalty wins."""
    records = Records.of(Domain.of(a=2, b=2), {"a": np.zeros(100, dtype=int), "b": np.zeros(100, dtype=int)})
    door, _ = open_door(records)
    estimates = {("a",): np.array([60.0, 40.0]), ("b",): np.array([50.0, 50.0])}  # errors 80 and 100
    rich = Round(Cost(1e4), Cost(0.4))
    assert door.choose_and_measure(estimates, rich, "x").clique == ("b",)
    assert door.choose_and_measure(estimates, rich, "x", None, {("a",): 2, ("b",): 1}).clique == ("a",)
    assert door.choose_and_measure(estimates, rich, "x", {("a",): 0, ("b",): 40}).clique == ("a",)
