"""Over many outputs that leak nothing, the suite calls a leak in one of twenty, not more."""

from __future__ import annotations

from collections.abc import Callable

import known_leaks
import numpy as np
import pytest
from scipy.stats import binom

from attacks.asked import default_attacks
from attacks.suite import examine
from attacks.threat import Candidates, Game, Rows, View
from dpsynth.domain import Clique
from dpsynth.records import Records

REPEATS = 80
DRAWS = 399
ORDERED = np.arange(6) % 2 == 0
Output = tuple[Records, tuple[Clique, ...] | None]
Make = Callable[[Records, np.random.Generator], Output]

NULL: dict[str, Make] = {
    "fresh rows": lambda reference, rng: (reference, None),
    "independent columns": lambda reference, rng: (known_leaks.independent(reference, 400, rng), None),
    "noiseless tree of other rows": lambda reference, rng: known_leaks.tree(reference, 400, rng),
}


def people(records: Records, unit: np.ndarray, rng: np.random.Generator) -> Candidates:
    return Candidates(Rows.of_records(records, ORDERED), unit, ORDERED)


def smallest_p(make: Make, seed: int) -> float:
    """The smallest adjusted p-value of the default attacks on 300 members and 150 controls of 1 to 3 rows."""
    rng = np.random.default_rng(seed)
    population = known_leaks.population(900, rng, columns=6, cells=6)
    unit = np.repeat(np.arange(450), rng.integers(1, 4, 450))
    candidates = people(
        population.take(unit), unit, rng
    )  # a person's rows are all alike: dependent as can be
    synthetic, cliques = make(population.take(np.arange(450, 900)), rng)
    view = View(Rows.of_records(synthetic, ORDERED), candidates, 2 / 3, cliques)
    game = Game(view, rng.permutation(450) < 300, None)
    found = examine(game, default_attacks(view), DRAWS, rng, lambda step, done: None)
    return min(result.adjusted_p for result in found)


@pytest.mark.parametrize("kind", NULL)
def test_family_wise_false_alarms_stay_at_one_in_twenty(kind: str) -> None:
    found = np.array([smallest_p(NULL[kind], seed) for seed in range(REPEATS)])
    assert binom.sf((found <= 0.05).sum() - 1, REPEATS, 0.05) > 1e-3
    assert binom.sf((found <= 0.3).sum() - 1, REPEATS, 0.3) > 1e-3


def test_the_same_games_with_a_leak_are_called() -> None:
    """Otherwise the test above could not fail: 30 % of the rows are copies of members' rows."""

    def leak(seed: int) -> float:
        rng = np.random.default_rng(seed)
        population = known_leaks.population(900, rng, columns=6, cells=6)
        candidates = people(population.take(np.arange(450)), np.arange(450), rng)
        member = rng.permutation(450) < 300
        reference = population.take(np.arange(450, 900))
        copied = known_leaks.with_copies(reference, population.take(np.flatnonzero(member)), 0.3, rng)
        view = View(Rows.of_records(copied, ORDERED), candidates, 2 / 3)
        found = examine(Game(view, member, None), default_attacks(view), DRAWS, rng, lambda step, done: None)
        return min(result.adjusted_p for result in found)

    assert sum(leak(seed) <= 0.05 for seed in range(10)) >= 9
