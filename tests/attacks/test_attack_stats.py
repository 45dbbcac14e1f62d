"""Intervals, permutation p-values, Holm and the one-run bound: the truth passes, a lie fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate
from scipy.stats import binom
from sklearn.metrics import roc_auc_score, roc_curve

from attacks import stats
from attacks.guarantee.one_run import epsilon_lower_bound, p_value
from attacks.threat import Claim

DRAWS = 199


def test_clopper_pearson_has_its_defining_property() -> None:
    for hits, trials in [(0, 20), (3, 20), (20, 20), (57, 1000)]:
        found = stats.clopper_pearson(hits, trials)
        if hits > 0:
            assert binom.sf(hits - 1, trials, found.low) == pytest.approx(0.025, abs=1e-6)
        if hits < trials:
            assert binom.cdf(hits, trials, found.high) == pytest.approx(0.025, abs=1e-6)
    with pytest.raises(ValueError):
        stats.clopper_pearson(3, 2)


def test_area_and_curve_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    member = rng.random(500) < 0.7
    scores = np.round(rng.normal(size=500) + 0.5 * member, 1)  # with ties
    found = stats.auc(scores, member)
    assert found.value == pytest.approx(roc_auc_score(member, scores))
    fpr, tpr = stats.roc_points(scores, member)
    expected = roc_curve(member, scores, drop_intermediate=False)
    assert np.allclose(fpr, expected[0])
    assert np.allclose(tpr, expected[1])


def test_interval_of_the_area_covers_and_is_no_wider_than_it_must() -> None:
    rng = np.random.default_rng(1)
    member = np.arange(120) < 80
    truth = 0.7602  # Phi(1 / sqrt 2)
    found = [stats.auc(rng.normal(size=120) + member, member) for _ in range(400)]
    covered = sum(i.low <= truth <= i.high for i in found)
    assert binom.cdf(covered, 400, 0.95) > 1e-4
    assert binom.cdf(covered, 400, 0.85) > 0.999
    perfect = stats.auc(member.astype(float), member)
    assert perfect.value == perfect.high == 1.0
    assert 0.9 < perfect.low < 1.0


def test_rate_is_shown_only_where_the_controls_carry_it() -> None:
    member = np.arange(1500) < 500
    scores = np.where(member, 2.0, 1.0)
    assert stats.rate_at(scores, member, 0.001) is None
    assert stats.rate_at(scores, member, 0.01).value == 1.0  # type: ignore[union-attr]
    tied = stats.rate_at(np.ones(1500), member, 0.1)
    assert tied is not None
    assert tied.value == 0.0  # ties help nobody


def test_rate_matches_its_false_positive_rate_without_a_leak() -> None:
    rng = np.random.default_rng(2)
    member = np.arange(40_000) < 20_000
    found = stats.rate_at(rng.normal(size=40_000), member, 0.1)
    assert found is not None
    assert abs(found.value - 0.1) < 5 * math.sqrt(2 * 0.09 / 20_000)


@pytest.mark.parametrize("kind", ["continuous", "few matches", "all equal"])
def test_permutation_p_is_no_smaller_than_uniform(kind: str) -> None:
    rng = np.random.default_rng(3)
    member = np.arange(150) < 110
    make = {
        "continuous": lambda: rng.normal(size=150),
        "few matches": lambda: (rng.random(150) < 0.06).astype(float),
        "all equal": lambda: np.zeros(150),
    }[kind]
    found = np.array([stats.permutation_p(make(), member, DRAWS, rng) for _ in range(300)])
    for level in (0.05, 0.2, 0.5):
        assert binom.sf((found <= level).sum() - 1, 300, level) > 1e-4
    if kind == "continuous":
        assert binom.cdf((found <= 0.05).sum(), 300, 0.05) > 1e-4  # and not so large that it says nothing


def test_permutation_p_sees_a_shift_and_a_few_outliers() -> None:
    rng = np.random.default_rng(4)
    member = np.arange(1000) < 500
    assert stats.permutation_p(rng.normal(size=1000) + 0.4 * member, member, 999, rng) <= 0.002
    outliers = rng.normal(size=1000)
    outliers[:10] += 50.0
    assert stats.permutation_p(outliers, member, 999, rng) < 0.02
    assert stats.permutation_p(-outliers, ~member, 999, rng) > 0.02


def test_permutation_p_does_not_depend_on_which_group_is_larger() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=400)
    for members in (40, 360):
        member = np.arange(400) < members
        assert stats.permutation_p(scores + member, member, 999, rng) <= 0.002


def test_holm_by_hand() -> None:
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.5, 0.9]) == [1.0, 1.0]
    assert stats.holm([]) == []
    assert stats.holm([0.01, 0.0], [1.0, 0.0]) == pytest.approx([0.01, 1.0])
    assert stats.holm([0.01, 0.01], [0.8, 0.2]) == pytest.approx([0.0125, 0.0125])
    assert stats.holm([0.5, 0.01], [0.8, 0.2]) == pytest.approx([0.5, 0.05])


def test_what_a_claim_allows() -> None:
    claim = Claim(1.0, 1e-5)
    assert claim.tpr(0.01) == pytest.approx(math.e * 0.01 + 1e-5)
    assert claim.tpr(1.0) == 1.0
    assert claim.auc() == pytest.approx(integrate.quad(claim.tpr, 0, 1, limit=200)[0], abs=1e-4)
    assert Claim(0.0, 0.0).auc() == pytest.approx(0.5)
    assert Claim(1000.0).tpr(0.0) == 1.0
    with pytest.raises(ValueError):
        Claim(-1.0)


def naive_p(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    q = 1 / (1 + math.exp(-epsilon))
    pmf = [math.comb(r, i) * q**i * (1 - q) ** (r - i) for i in range(r + 1)]
    slope = max((sum(pmf[v - i : v]) / i for i in range(1, v + 1)), default=0.0)
    return min(1.0, sum(pmf[v:]) + 2 * m * delta * slope)


def test_one_run_p_value_against_its_formula() -> None:
    for m, r, v, epsilon, delta in [(50, 50, 40, 1.0, 1e-5), (80, 20, 20, 0.5, 0.0), (60, 30, 16, 0.0, 1e-3)]:
        assert p_value(m, r, v, epsilon, delta) == pytest.approx(naive_p(m, r, v, epsilon, delta), rel=1e-9)
    assert p_value(10, 0, 0, 1.0, 0.0) == 1.0
    with pytest.raises(ValueError):
        p_value(10, 11, 3, 1.0, 0.0)


def test_one_run_bound_is_the_inverse_of_the_p_value() -> None:
    found = epsilon_lower_bound(1000, 1000, 800, 1e-6, 0.99)
    assert p_value(1000, 1000, 800, found, 1e-6) <= 0.01 < p_value(1000, 1000, 800, found + 0.01, 1e-6)
    assert epsilon_lower_bound(1000, 1000, 500, 0.0, 0.99) == 0.0
    assert epsilon_lower_bound(1000, 1000, 1000, 0.0, 0.99) > 5.0
    assert epsilon_lower_bound(1000, 1000, 800, 1e-6, 0.99, bias=0.2) == pytest.approx(found - 0.2, abs=0.01)


def test_one_run_bound_keeps_its_confidence_on_randomized_response_and_finds_a_lie() -> None:
    """Each unit's answer is right with probability e / (1 + e): epsilon is exactly 1."""
    rng = np.random.default_rng(6)
    right = rng.binomial(400, 1 / (1 + math.exp(-1.0)), 400)
    bounds = np.array([epsilon_lower_bound(400, 400, int(v), 0.0, 0.95) for v in right])
    assert binom.sf((bounds > 1.0).sum() - 1, 400, 0.05) > 1e-4
    assert (bounds > 0.5).mean() > 0.9  # the bound is worth something
