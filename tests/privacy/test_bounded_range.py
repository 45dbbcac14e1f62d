"""The recursion for private choices, against closed forms and against adversaries tried by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_oracle import choice_law, delta, together

from dpsynth.privacy.bounded_range import choices_profile, choices_then
from dpsynth.privacy.gaussian import bounded_range_mu, gaussian_deltas
from dpsynth.privacy.gdp import least_mu


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 2.0, 8.0])
def test_one_choice_has_a_closed_form(epsilon: float) -> None:
    """max over t of p(t) (1 - exp(x - t)) = (exp(epsilon / 2) - exp(x / 2))**2 / (exp(epsilon) - 1)."""
    step, deltas = choices_profile([epsilon])
    x = step * np.arange(len(deltas))
    closed = np.where(x < epsilon, (math.exp(epsilon / 2) - np.exp(x / 2)) ** 2 / math.expm1(epsilon), 0.0)
    assert (deltas >= closed * (1 - 1e-9) - 1e-15).all()
    assert deltas[0] == pytest.approx(closed[0], rel=0.02)


@pytest.mark.parametrize("epsilons", [(1.0, 1.0, 1.0), (0.5, 1.0), (0.3, 0.6, 0.9)])
def test_no_adversary_does_better(epsilons: tuple[float, ...]) -> None:
    """Random intervals fixed in advance, and adaptive ones that aim at a loss, never exceed the profile."""
    rng = np.random.default_rng(1)
    step, deltas = choices_profile(epsilons)
    x = step * np.arange(len(deltas))
    for _ in range(50):
        law = together([choice_law(e, rng.uniform(0, e)) for e in epsilons])
        assert all(delta(law, float(e)) <= d + 1e-12 for e, d in zip(x, deltas, strict=True))
    aims = [aiming(sorted(epsilons), float(goal)) for goal in x[::16]]
    assert (np.array(aims) <= deltas[::16] + 1e-12).all()
    assert max(deltas[::16] - np.array(aims)) < 0.04  # and the best of them comes close


def aiming(epsilons: list[float], goal: float, choices: int = 12) -> float:
    """The best adaptive adversary over a coarse set of intervals, by exhaustive recursion."""
    if not epsilons:
        return max(0.0, -math.expm1(goal))
    *rest, epsilon = epsilons
    best = 0.0
    for t in np.linspace(0, epsilon, choices if len(rest) < 2 else 6):
        (low, high), (q, p) = choice_law(epsilon, float(t))
        best = max(best, p * aiming(rest, goal - high, choices) + q * aiming(rest, goal - low, choices))
    return best


def test_many_choices_tend_to_zcdp() -> None:
    """Thirteen choices: the spread of the loss is near epsilon / 2 each, that of epsilon**2 / 8 zCDP."""
    epsilon, count = 0.05, 13
    step, deltas = choices_profile([epsilon] * count)
    x = step * np.arange(len(deltas))
    mu = math.sqrt(count) * epsilon / 2
    inside = gaussian_deltas(mu, x) > 1e-9
    ratio = np.interp(gaussian_deltas(mu, x)[inside], deltas[::-1], x[::-1])[5:] / x[inside][5:]
    # epsilon at equal delta: high near 0 (a lattice there), below the Gaussian's in the bounded tail
    assert 0.95 < ratio.min() <= ratio[len(ratio) // 4 :].max() < 1.1


@pytest.mark.parametrize(("epsilon", "mu"), [(0.1, 0.15), (0.3, 0.2), (1.0, 3.0)])
def test_a_choice_before_a_measurement(epsilon: float, mu: float) -> None:
    """Above every two-point choice followed by the Gaussian, and cheaper than the two prices composed."""
    step, deltas = choices_then([epsilon], mu)
    x = step * np.arange(len(deltas))
    for t in np.linspace(0, epsilon, 21):
        (low, high), (q, p) = choice_law(epsilon, float(t))
        truth = p * gaussian_deltas(mu, x - high) + q * gaussian_deltas(mu, x - low)
        assert (deltas >= truth * (1 - 1e-9)).all()
    joint = least_mu(x, deltas, deltas, 1e-25)
    assert math.hypot(mu, epsilon / 2) < joint < math.hypot(mu, bounded_range_mu(epsilon))
