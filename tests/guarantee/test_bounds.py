"""Bounds: they hold for the truth, come near it, and refute a lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special

from attacks.guarantee import f_one_run
from attacks.guarantee.batches import SAMPLERS, oddities
from attacks.guarantee.canaries import direction_scores, one_run_bounds, reference_sums
from attacks.guarantee.gaussian import (
    delta_of,
    epsilon_from_accuracy,
    epsilon_from_rates,
    epsilon_of,
    mu_from_accuracy,
    mu_from_rates,
    mu_of,
)
from attacks.guarantee.many_fits import Looks, bound, guessed
from attacks.guarantee.sigma import chi_square, discrete, scale
from dpsynth.privacy.accounting import gaussian_delta

UNLIKELY = 1 - 1e-6


def two_gaussians(mu: float, trials: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    sides = rng.random(trials) < 0.5
    return (rng.normal(size=trials) + mu * sides)[:, None], sides


@pytest.mark.parametrize("mu", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_the_curve_is_the_accountants(mu: float, epsilon: float) -> None:
    assert delta_of(mu, epsilon) == pytest.approx(gaussian_delta(mu, epsilon), rel=1e-6, abs=1e-15)


def test_mu_and_epsilon_turn_into_each_other() -> None:
    for epsilon in (0.3, 1.0, 4.0):
        assert epsilon_of(mu_of(epsilon, 1e-6), 1e-6) == pytest.approx(epsilon)
    assert epsilon_of(math.inf, 1e-6) == math.inf
    assert mu_from_rates(0.2, 0.1) == 0.0
    assert epsilon_from_rates(0.1, 0.1 * math.e, 0.0) == pytest.approx(1.0)
    p = math.e / (1 + math.e)
    assert epsilon_from_accuracy(p, 0.0) == pytest.approx(1.0)
    assert mu_from_accuracy(float(special.ndtr(0.7))) == pytest.approx(1.4)


# --- many fits ---------------------------------------------------------------------------------------


def test_the_estimate_comes_near_the_truth_and_never_above_it() -> None:
    """At epsilon 4, 10,000 trials: at least 0.85 of the claim (.93 on average), at most all of it."""
    rng = np.random.default_rng(8)
    mu = mu_of(4.0, 1e-5)
    scores, sides = two_gaussians(mu, 10_000, rng)
    found = bound(scores - mu / 2, sides, ["ratio"], 1e-5, 0.95, ("ratio", 0.0))
    assert 0.85 * 4 <= epsilon_of(found.mu, 1e-5) <= 4
    assert found.epsilon <= 4


def test_the_truth_is_never_refuted() -> None:
    rng = np.random.default_rng(3)
    mu = mu_of(1.0, 1e-6)
    for _ in range(25):
        scores, sides = two_gaussians(mu, 600, rng)
        found = bound(scores, sides, ["ratio"], 1e-6, UNLIKELY)
        assert found.mu <= mu
        assert found.epsilon <= 1


def test_noise_that_says_nothing_gives_no_bound() -> None:
    rng = np.random.default_rng(4)
    sides = rng.random(2000) < 0.5
    found = bound(rng.normal(size=(2000, 5)), sides, list("abcde"), 1e-6, UNLIKELY)
    assert found.mu == 0
    assert found.epsilon == 0


def test_half_the_noise_is_refuted() -> None:
    rng = np.random.default_rng(5)
    mu = mu_of(4.0, 1e-5)
    scores, sides = two_gaussians(2 * mu, 1500, rng)
    assert bound(scores, sides, ["ratio"], 1e-5, 0.99).mu > mu


@pytest.mark.parametrize("missing", [0.0, math.nan])
def test_a_score_that_tells_for_sure_is_found_among_others(missing: float) -> None:
    rng = np.random.default_rng(6)
    sides = rng.random(500) < 0.5
    sure = np.where(sides, 1.0, missing)
    scores = np.stack([rng.normal(size=500), sure, rng.normal(size=500)], axis=1)
    found = bound(scores, sides, ["a", "sure", "c"], 1e-6, 0.99)
    assert found.epsilon > 3
    assert found.score == "sure"


def test_a_rare_but_sure_sign_is_found_by_the_halves() -> None:
    """One fit in ten gives the unit away: accuracy hardly moves, the rates do."""
    rng = np.random.default_rng(7)
    sides = rng.random(8000) < 0.5
    shown = (sides & (rng.random(8000) < 0.1)).astype(float)
    found = bound(shown[:, None], sides, ["sign"], 1e-6, 0.99)
    assert found.epsilon > 2
    assert found.way == "halves"


def test_guesses_use_earlier_trials_only() -> None:
    """Reversing the meaning of the score after the pilot misleads the guesser: it cannot have looked ahead."""
    sides = np.tile([True, False], 60)
    scores = np.where(sides, 1.0, 0.0)
    scores[50:] = 1 - scores[50:]
    right, made, _ = guessed(scores[: 12 * 5][:, None], sides[: 12 * 5])
    assert (right, made) == (0, 10)


def test_looks_share_the_error_probability() -> None:
    looks = Looks.doubling(4000, 0.99)
    assert looks.at == (250, 500, 1000, 2000, 4000)
    spent = sum(1 - looks.confidence_of(i) for i in range(len(looks.at)))
    assert spent == pytest.approx(0.01)


def test_scores_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="row for each trial"):
        bound(np.zeros((3, 2)), np.zeros(3, bool), ["only one"], 1e-6, 0.9)


# --- one run -----------------------------------------------------------------------------------------


def by_programme(m: int, r: int, v: int, mu: float) -> float:
    """The same largest tail by linear programming: the concave curve by many of its tangents, which is an upper bound."""
    ps = np.concatenate([np.geomspace(1e-9, 0.5, 60), 1 - np.geomspace(0.5, 1e-9, 60)])
    heights = special.ndtr(special.ndtri(ps) + mu)
    slopes = np.exp(-mu * special.ndtri(ps) - mu * mu / 2)
    rows, limits = [], []
    i = np.arange(r + 1)
    for t in range(1, r + 1):
        right = np.where(i >= t, i / m, 0.0)
        wrong = np.where(i >= t - 1, (r - i) / m, 0.0)
        for p, height, slope in zip(ps, heights, slopes, strict=True):
            rows.append(right - slope * wrong)
            limits.append(height - slope * p)
    tail = -(i >= v).astype(float)
    done = optimize.linprog(tail, np.array(rows), limits, np.ones((1, r + 1)), [1.0], method="highs")
    return -float(done.fun)


@pytest.mark.parametrize(("m", "r", "v"), [(6, 6, 5), (6, 6, 6), (8, 5, 4), (10, 10, 9)])
@pytest.mark.parametrize("mu", [0.3, 1.0])
def test_the_walk_is_the_linear_programme(m: int, r: int, v: int, mu: float) -> None:
    assert f_one_run.p_value(m, r, v, mu) == pytest.approx(by_programme(m, r, v, mu), rel=2e-2)


def test_independent_guesses_are_never_refuted() -> None:
    """Canaries that do not disturb each other: each guess right with probability Phi(mu / 2)."""
    rng = np.random.default_rng(2)
    mu = 1.2
    rights = rng.binomial(500, special.ndtr(mu / 2), 300)
    assert max(f_one_run.mu_lower_bound(500, 500, int(v), UNLIKELY) for v in set(rights)) <= mu


def test_one_run_refutes_half_the_noise_where_both_bounds_are_large_enough() -> None:
    rng = np.random.default_rng(12)
    sides = rng.random(5000) < 0.5
    found = one_run_bounds(rng.normal(size=5000) + 4.0 * sides, sides, 1e-5, 0.99, middle=2.0)
    assert found.mu > 1.0
    assert found.gaussian_epsilon == pytest.approx(epsilon_of(found.mu, 1e-5))
    assert found.epsilon > 2


def test_one_run_of_fair_coins_says_nothing() -> None:
    rng = np.random.default_rng(13)
    found = one_run_bounds(rng.normal(size=3000), rng.random(3000) < 0.5, 1e-5, UNLIKELY)
    assert found.mu == found.epsilon == 0


def test_one_run_of_the_reference_training() -> None:
    """Sampled in half of the batches, little noise: seen; without the canaries' gradients: not."""
    rng = np.random.default_rng(14)
    sides = rng.random(600) < 0.5
    inside = rng.random((40, 600)) < 0.5
    sums = reference_sums(inside, sides, 1.0, 1.0, rng)
    assert one_run_bounds(direction_scores(sums, 1.0), sides, 1e-5, 0.99).mu > 0.5
    quiet = reference_sums(inside, np.zeros(600, bool), 1.0, 1.0, rng)
    assert one_run_bounds(direction_scores(quiet, 1.0), sides, 1e-5, UNLIKELY).mu == 0


@pytest.mark.parametrize("wrong", [(0, 0, 0, 1.0), (5, 6, 2, 1.0), (5, 5, 6, 1.0), (5, 5, 2, -1.0)])
def test_impossible_guesses_are_refused(wrong: tuple[int, int, int, float]) -> None:
    with pytest.raises(ValueError, match="needs"):
        f_one_run.p_value(*wrong)


# --- noise scales ------------------------------------------------------------------------------------


def discrete_draws(sigma: float, n: int, rng: np.random.Generator) -> np.ndarray:
    xs = np.arange(-math.ceil(12 * sigma) - 2, math.ceil(12 * sigma) + 3)
    weights = np.exp(-(xs**2) / (2 * sigma**2))
    return rng.choice(xs, size=n, p=weights / weights.sum())


@pytest.mark.parametrize("sigma", [0.4, 0.8, 1.5, 6.0, 300.0])
def test_intervals_hold_the_truth_and_refuse_half_and_double(sigma: float) -> None:
    rng = np.random.default_rng(round(sigma * 10))
    draws = discrete_draws(sigma, 2000, rng)
    for factor, inside in ((1.0, True), (2.0, False), (0.5, False)):
        found = scale(draws, np.full(2000, sigma * factor), UNLIKELY)
        assert (found.low <= 1 <= found.high) is inside


def test_both_ways_agree_where_both_are_valid() -> None:
    draws = discrete_draws(20.0, 3000, np.random.default_rng(1))
    one, other = (way(draws, np.full(3000, 20.0), 0.99) for way in (chi_square, discrete))
    assert one.value == pytest.approx(other.value, rel=1e-6)
    assert other.low <= one.low <= one.high <= other.high
    assert other.high - other.low < 1.4 * (one.high - one.low)


def test_continuous_intervals_are_wrong_for_tiny_noise() -> None:
    """Why there are two: at sigma 0.4 nearly all draws are zero, and chi-square is sure of a lie."""
    draws = discrete_draws(0.4, 4000, np.random.default_rng(2))
    assert chi_square(draws, np.full(4000, 0.4), UNLIKELY).high < 1
    assert discrete(draws, np.full(4000, 0.4), UNLIKELY).high > 1


def test_no_noise_at_all() -> None:
    found = scale(np.zeros(100, np.int64), np.full(100, 5.0), 0.99)
    assert found.value == found.low == 0
    assert found.high < 0.1


# --- batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_only_coins_are_coins(name: str) -> None:
    inside = SAMPLERS[name](200, 400, 0.1, np.random.default_rng(9))
    assert bool(oddities(inside, 0.1)) is (name != "poisson")


def test_another_rate_and_too_small_tables() -> None:
    inside = SAMPLERS["poisson"](200, 400, 0.12, np.random.default_rng(9))
    assert "rate" in {odd.name for odd in oddities(inside, 0.1)}
    with pytest.raises(ValueError, match="too few"):
        oddities(inside[:20], 0.1)
