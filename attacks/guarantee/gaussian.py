"""Gaussian differential privacy as an auditor needs it: mu from rates, epsilon from mu. Independent of the accountant.

mu-GDP: no test tells the two neighbours apart better than N(0, 1) from N(mu, 1) (Dong, Roth and Su 2022): at a false
positive rate a the true positive rate is at most Phi(Phi^-1(a) + mu).
"""

from __future__ import annotations

import math

from scipy import optimize, special

LARGEST_MU = 60.0
"""Beyond it nothing is private and the special functions run out of digits."""


def delta_of(mu: float, epsilon: float) -> float:
    """delta(epsilon) of mu-GDP (Balle and Wang 2018, theorem 8)."""
    if mu <= 0:
        return 0.0
    first = float(special.ndtr(-epsilon / mu + mu / 2))
    second = math.exp(min(0.0, epsilon + float(special.log_ndtr(-epsilon / mu - mu / 2))))
    return max(0.0, first - second)


def epsilon_of(mu: float, delta: float) -> float:
    """The least epsilon at which mu-GDP has at most `delta`; infinite beyond `LARGEST_MU`."""
    if mu <= 0 or delta_of(mu, 0.0) <= delta:
        return 0.0
    if mu > LARGEST_MU:
        return math.inf
    high = mu * mu / 2 + 40.0 * mu + 1.0
    return float(optimize.brentq(lambda epsilon: delta_of(mu, epsilon) - delta, 0.0, high, xtol=1e-12))


def mu_of(epsilon: float, delta: float) -> float:
    """The mu whose curve passes through (epsilon, delta): what a claim says if the generator is Gaussian-private."""
    if not (epsilon > 0 and 0 < delta < 1):
        raise ValueError("needs epsilon > 0 and delta in (0, 1)")
    high = 1.0
    while delta_of(high, epsilon) < delta:
        high *= 2.0
    return float(optimize.brentq(lambda mu: delta_of(mu, epsilon) - delta, 0.0, high, xtol=1e-13))


def mu_from_rates(false_positives: float, true_positives: float) -> float:
    """The mu that these two rates need; 0 for a test that is worse than chance, infinite where a rate is 0 or 1."""
    if true_positives <= false_positives:
        return 0.0
    return float(special.ndtri(true_positives) - special.ndtri(false_positives))


def mu_from_accuracy(accuracy: float) -> float:
    """The mu that a fair coin's guesses need to be right so often: at most Phi(mu / 2) can be."""
    return max(0.0, 2.0 * float(special.ndtri(accuracy)))


def epsilon_from_rates(false_positives: float, true_positives: float, delta: float) -> float:
    """The epsilon that these rates need: true positives <= e^epsilon false positives + delta; 0 when none."""
    if true_positives - delta <= false_positives:
        return 0.0
    return math.inf if false_positives <= 0 else math.log((true_positives - delta) / false_positives)


def epsilon_from_accuracy(accuracy: float, delta: float) -> float:
    """The epsilon that a fair coin's guesses need to be right so often: at most (e^epsilon + delta) / (e^epsilon + 1)."""
    if accuracy <= 0.5 + delta / 2:
        return 0.0
    return math.inf if accuracy >= 1 else math.log((accuracy - delta) / (1 - accuracy))
