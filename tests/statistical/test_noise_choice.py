"""The exponential mechanism chooses with its closed-form probabilities; each test fails a planted lie."""

from __future__ import annotations

import numpy as np
import pytest
from noise_reference import PASS, count_p
from numpy.typing import NDArray
from scipy import special, stats

from dpsynth.entropy import system
from dpsynth.privacy import noise

DRAWS = 2_000


def choices(scores: NDArray[np.int64], epsilon: float, sensitivity: int, n: int = DRAWS) -> NDArray[np.int64]:
    stream = system()
    return np.array([noise.choose(scores, epsilon, sensitivity, stream) for _ in range(n)])


def choice_p(chosen: NDArray[np.int64], scores: NDArray[np.int64], epsilon: float, sensitivity: int) -> float:
    """Chi-square against softmax(epsilon scores / (2 sensitivity)), candidates of under 5 expected joined."""
    expected = special.softmax(epsilon * scores / (2 * sensitivity)) * len(chosen)
    observed = np.bincount(chosen, minlength=len(scores))
    rare = expected < 5
    joined = [(expected[rare].sum(), observed[rare].sum())] if rare.any() else []
    pairs = np.array([*zip(expected[~rare], observed[~rare], strict=True), *joined])
    pairs = pairs if pairs[-1, 0] >= 1 else pairs[:-1]
    return float(stats.chisquare(pairs[:, 1], pairs[:, 0] * pairs[:, 1].sum() / pairs[:, 0].sum()).pvalue)


@pytest.mark.parametrize(("epsilon", "sensitivity"), [(1.0, 1), (0.25, 1), (2.0, 3)])
def test_choice_has_its_closed_form_and_not_the_monotone_coefficient(
    epsilon: float, sensitivity: int
) -> None:
    scores = np.rint(np.array([0, 1, 3, 4, 7]) * sensitivity / epsilon).astype(np.int64)
    chosen = choices(scores, epsilon, sensitivity)
    assert choice_p(chosen, scores, epsilon, sensitivity) > PASS
    assert choice_p(chosen, scores, 2 * epsilon, sensitivity) < PASS
    assert choice_p(choices(scores, 2 * epsilon, sensitivity), scores, epsilon, sensitivity) < PASS
    assert choice_p(choices(scores, epsilon, 2 * sensitivity), scores, epsilon, sensitivity) < PASS


def test_epsilon_ten_percent_off_is_seen() -> None:
    """One best of 1001, as likely as all others together: its log odds move by 10 % of 6.9."""
    scores = np.zeros(1001, np.int64)
    scores[417] = 1382
    for used, truthful in ((0.01, True), (0.011, False), (0.009, False)):
        hits = int((choices(scores, used, 1, 2000) == 417).sum())
        p = count_p(hits, 2000, float(special.softmax(0.005 * scores)[417]))
        assert (p > PASS) == truthful


def test_thousands_of_candidates_and_a_huge_range() -> None:
    scores = np.random.default_rng(3).integers(-(2**62), 2**62, 5000)
    scores[:3] = np.iinfo(np.int64).max - np.array([0, 2, 5])
    chosen = choices(scores, 1.0, 1, 2000)
    assert set(np.unique(chosen)) <= {0, 1, 2}
    assert choice_p(chosen, np.array([0, -2, -5]), 1.0, 1) > PASS
    assert choice_p(chosen, np.array([0, -2, -5]), 2.0, 1) < PASS


def test_equal_scores_are_chosen_evenly() -> None:
    chosen = choices(np.full(7, -(2**63)), 3.0, 1)
    assert choice_p(chosen, np.zeros(7, np.int64), 3.0, 1) > PASS
    assert choice_p(np.maximum(chosen, 1), np.zeros(7, np.int64), 3.0, 1) < PASS


def test_the_integer_path_alone_chooses_alike() -> None:
    """Every coin looked at in integers: the same law, and the lie of a doubled rate is seen."""
    scores, stream, blind = np.array([0, 2, 5]), system(), noise._Look(margin=2.0)

    def drawn(epsilon: float) -> NDArray[np.int64]:
        return np.array([noise._choose(scores, noise._rate(epsilon, 1), stream, blind) for _ in range(600)])

    assert choice_p(drawn(0.6), scores, 0.6, 1) > PASS
    assert choice_p(drawn(2.4), scores, 0.6, 1) < PASS
