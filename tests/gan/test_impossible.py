"""Combinations that cannot be: the penalty's slope, and mixtures that keep away from them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dpsynth.domain import Domain
from dpsynth.gan.impossible import MOST_CELLS, Impossible
from dpsynth.gan.layout import Layout, Singles
from dpsynth.gan.training import Schedule, Training
from dpsynth.pgm import MixtureModel
from dpsynth.pgm.problem import Target
from dpsynth.progress import silent

DOMAIN = Domain.of(a=3, b=4, c=2, e=5)


def shares_of(rows: int, domain: Domain = DOMAIN) -> Singles:
    layout = Layout(domain)
    drawn = np.random.default_rng(1).normal(size=(rows, layout.width))
    return layout.softmax(drawn.astype(np.float32))


def some_zeros() -> dict[tuple[str, ...], np.ndarray]:
    rng = np.random.default_rng(2)
    cliques = [("a", "b"), ("a", "c", "e"), ("a", "b", "c", "e")]
    return {clique: rng.random(DOMAIN.shape(clique)) < 0.4 for clique in cliques}


def test_the_mass_is_that_of_the_marginals_and_its_slope_that_of_differences() -> None:
    zeros, layout = some_zeros(), Layout(DOMAIN)
    penalty, shares = Impossible.of(DOMAIN, zeros, {}), shares_of(6).astype(np.float64)

    def mass(table: np.ndarray) -> float:
        return float(penalty.mass([table[:, layout.columns(i)] for i in range(4)]))

    model = MixtureModel(DOMAIN, 1.0, np.full(6, 1 / 6), layout.apart(shares_of(6)))
    by_hand = sum(float((model.marginal(c) * mask).sum()) for c, mask in zeros.items())
    assert mass(shares) == pytest.approx(by_hand, rel=1e-5)
    slope = penalty.slope(shares_of(6))
    for row, column in [(0, 0), (1, 4), (2, 8), (3, 12), (5, 10)]:
        step = np.zeros_like(shares)
        step[row, column] = 1e-5
        numeric = (mass(shares + step) - mass(shares - step)) / 2e-5 * 6
        assert slope[row, column] == pytest.approx(numeric, rel=1e-3, abs=1e-5)


def test_on_merged_cells_only_what_is_impossible_altogether_is_left() -> None:
    mask = np.zeros((3, 4), dtype=bool)
    mask[0, :2] = mask[1, 2] = True
    merges = {"b": np.array([0, 0, 1, 2])}
    [(numbers, table)] = Impossible.of(Domain.of(a=3, b=3), {("a", "b"): mask}, merges).tables
    assert numbers == (0, 1)
    assert table.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_tables_too_large_for_a_step_are_left_to_mending() -> None:
    side = int(MOST_CELLS**0.5) + 2
    zeros = {("a", "b"): np.eye(side, dtype=bool)}
    assert not Impossible.of(Domain.of(a=side, b=side), zeros, {}).tables


def test_a_trained_mixture_keeps_away_from_what_cannot_be() -> None:
    """b is never below a; what was measured is so noisy that the mixture alone would put 1 % there."""
    domain, rng = Domain.of(a=5, b=5, c=3), np.random.default_rng(3)
    below = {("a", "b"): np.tril(np.ones((5, 5), dtype=bool), -1)}
    true = np.where(below["a", "b"], 0.0, rng.random((5, 5)))
    true *= 5_000 / true.sum()
    joint = true[:, :, None] * np.array([0.2, 0.5, 0.3])
    cliques = [*itertools.combinations("abc", 2)]
    targets, ones = [], {}
    for axes, clique in [((2,), cliques[0]), ((1,), cliques[1]), ((0,), cliques[2])]:
        exact = joint.sum(axis=axes)
        targets.append(Target(clique, exact + rng.normal(0, 30, exact.shape), np.full(exact.shape, 900.0)))
    for number, name in enumerate("abc"):
        found = joint.sum(axis=tuple(i for i in range(3) if i != number))
        ones[name] = found / found.sum()

    def impossible(penalty: Impossible | None) -> float:
        training = Training(domain, ones, 5_000.0, 60, None, penalty)
        training.train(targets, Schedule(150, 0.1, 1e-3), silent)
        model = training.model()
        return float((model.marginal(("a", "b")) * below["a", "b"]).sum() / model.total)

    free, kept = impossible(None), impossible(Impossible.of(domain, below, {}))
    assert free > 0.01
    assert kept < 0.3 * free
