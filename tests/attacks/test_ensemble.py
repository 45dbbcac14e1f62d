"""Attacks that learn: trees against what they are shown, the ensemble against attacks of known strength."""

from __future__ import annotations

from collections.abc import Callable

import known_leaks
import numpy as np
import pytest
from attacked_files import Files

from attacks import Game, stats
from attacks.evaluate import EVERYONE
from attacks.kernels import tree_votes
from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.membership.ensemble import Ensemble
from attacks.suite import examine
from attacks.threat import Candidates, Rows, View
from dpsynth.release.fields import ONLY_FOR_SOME

Make = Callable[..., Files]
UNITS = 1200
SIZES = ((300, 90), (300, 200))
MEMBER = np.arange(UNITS) % 3 != 0


class Hint:
    """Scores of members that are larger by `shift`, whatever the rows."""

    threat = ThreatModel((Holds.SYNTHETIC,), Wants.MEMBERSHIP, "knows something")

    def __init__(self, name: str, shift: float) -> None:
        self.name, self.shift = name, shift

    def __call__(self, view: View, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(size=UNITS) + self.shift * MEMBER


def game(rng: np.random.Generator) -> Game:
    ordered = np.ones(4, bool)
    rows = Rows.of_records(known_leaks.population(UNITS + 300, rng, 4, 4), ordered)
    candidates = Candidates(rows.take(np.arange(UNITS)), np.arange(UNITS), ordered)
    return Game(View(rows.take(np.arange(UNITS, UNITS + 300)), candidates, 2 / 3), MEMBER, None)


def test_weak_hints_together_are_stronger_than_each() -> None:
    rng = np.random.default_rng(1)
    hints = [Hint(f"hint {i}", 0.6) for i in range(4)]
    results = examine(game(rng), [Ensemble(), *hints], 199, rng, lambda step, done: None)
    found = {result.name: result for result in results if result.group == EVERYONE}
    together = found["ensemble"]
    assert together.auc.value > max(found[hint.name].auc.value for hint in hints) + 0.05
    assert np.isnan(together.scores).sum() == UNITS // 2  # taught by them, not judged on them
    assert (together.members + together.controls, together.group) == (UNITS // 2, EVERYONE)
    assert Holds.HALF in together.threat.holds


def test_hints_that_know_nothing_teach_nothing() -> None:
    """p-values of 40 ensembles of useless attacks; fair ones exceed 0.05 in all but about two."""
    rng = np.random.default_rng(2)
    played, hints = game(rng), [Hint("one", 0.0), Hint("two", 0.0)]
    small = 0
    for _ in range(40):
        results = examine(played, [*hints, Ensemble()], 199, rng, lambda step, done: None)
        small += next(r for r in results if r.name == "ensemble" and r.group == EVERYONE).p_value <= 0.05
    assert small <= 11  # binomial: exceeded with probability below 1e-6


def test_one_attack_or_few_units_make_no_ensemble(files: Make) -> None:
    rng = np.random.default_rng(3)
    alone = examine(game(rng), [Hint("alone", 0.5), Ensemble()], 99, rng, lambda step, done: None)
    assert {result.name for result in alone} == {"alone"}
    few, many = ({attack.name for attack in files(*size).run(files().reference).attacks} for size in SIZES)
    assert many - few == {"ensemble"}
    assert "ensemble" in ONLY_FOR_SOME  # that it ran says how many there are: no public page may


@pytest.mark.parametrize("ordered", [True, False])
def test_trees_find_the_corner_that_the_synthetic_rows_come_from(ordered: bool) -> None:
    rng = np.random.default_rng(4)
    known = rng.integers(0, 4, (800, 3)).astype(np.uint8)
    made = (known[:, 0] == 3) & (known[:, 1] == 0) & (rng.random(800) < 0.9)
    asked = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3).astype(np.uint8)
    votes = tree_votes(known, made, asked, np.full(3, ordered), trees=20, leaf=1, tries=6, seed=5)
    corner = (asked[:, 0] == 3) & (asked[:, 1] == 0)
    assert votes[corner].min() > 0.8
    assert votes[~corner].max() == 0.0
    again = tree_votes(known, made, asked, np.full(3, ordered), trees=20, leaf=1, tries=6, seed=5)
    assert np.array_equal(votes, again)


def test_a_tree_of_one_leaf_says_how_many_are_synthetic() -> None:
    """Both kinds weigh as much in all: half, whatever their numbers."""
    known = np.random.default_rng(6).integers(0, 9, (90, 2)).astype(np.uint8)
    made = np.arange(90) < 30
    votes = tree_votes(known, made, known[:5], np.ones(2, bool), trees=3, leaf=90, tries=4, seed=1)
    assert votes == pytest.approx(0.5)
    with pytest.raises(ValueError, match="both kinds"):
        tree_votes(known, np.ones(90, bool), known, np.ones(2, bool), trees=3, leaf=1, tries=4, seed=1)


def test_the_ensemble_reads_only_the_known_half() -> None:
    rng = np.random.default_rng(7)
    scores = [rng.normal(size=UNITS) for _ in range(3)]
    known = rng.random(UNITS) < 0.5
    truth = rng.random(UNITS) < 0.5
    found = Ensemble().combine(scores, known, truth)
    assert np.array_equal(
        Ensemble().combine(scores, known, np.where(known, truth, ~truth)), found, equal_nan=True
    )
    assert stats.auc(found[~known], truth[~known]).high > 0.4
