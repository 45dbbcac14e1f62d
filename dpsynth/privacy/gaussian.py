"""Gaussian differential privacy: the curve of one Gaussian, and which events it dominates.

mu-GDP: telling the two neighbours apart is at least as hard as telling N(0, 1) from N(mu, 1) (Dong, Roth
and Su 2022). Composition: sqrt(sum of mu**2) (their corollary 3.3); also fully adaptively, behind a filter
(Smith and Thakurta 2022).

*Discrete Gaussian.* Let X have the discrete Gaussian distribution of scale sigma on the integers and z_t =
Phi^-1(P(X <= t)). Telling X from X + j has the trade-off function with vertices (P(X > t), P(X <= t - j)),
linear in between. The Gaussian trade-off function is convex, so it lies below everywhere as soon as it does
at the vertices, which means z_t - z_{t-j} <= mu for all t. The spacings z_t - z_{t-1} are largest in the
middle (all of them were checked, for 1,500 scales from 1 to 1,000: `benchmarks/accounting.py`, and a part in
the tests), where by symmetry the
spacing is mu_1 = 2 Phi^-1((1 + P(X = 0)) / 2), about (1 + 1 / (24 sigma**2)) / sigma. A shift by j
telescopes into j spacings: mu_j <= j mu_1. A shift by an integer *vector* v is a product of such problems,
one per cell, so that its mu is at most mu_1 |v|_2 <= mu_1 |v|_1 <= k mu_1, however the k rows of a unit are
spread over the cells. Below sigma = 1 this price is refused: the factor grows without use.

*Bounded range.* An epsilon-bounded-range choice has mu = 2 Phi^-1(1 / (1 + exp(-epsilon / 2))): the worst
pair of distributions is two-point (Dong, Durfee and Rogers 2020), and its vertex farthest from the diagonal
is the symmetric one.

*Pure DP.* mu = 2 Phi^-1(1 / (1 + exp(-epsilon))): randomised response is the worst case (Kairouz, Oh and
Viswanath 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dpsynth.privacy.solving import root

Floats: TypeAlias = NDArray[np.float64]

MIN_SIGMA = 1.0
"""Scales below it have no Gaussian price."""
LARGEST_EPSILON = 1e5
"""Where a search for epsilon gives up: nothing above it protects anybody."""
SAFETY = 1.0 + 1e-9
"""Covers the rounding of the special functions (relative errors near 1e-15, amplified by inversion)."""


def gaussian_delta(mu: float, epsilon: float) -> float:
    """delta(epsilon) of N(0, 1) against N(mu, 1); epsilon may be negative (Balle and Wang 2018, theorem 8)."""
    return float(gaussian_deltas(mu, np.array([epsilon]))[0])


def gaussian_deltas(mu: float, epsilons: Floats) -> Floats:
    """`gaussian_delta` of many epsilons, accurate in relative terms far into the tail.

    With a = epsilon / mu - mu / 2 and b = a + mu, phi(a) = exp(epsilon) phi(b), so that delta = Phi(-a) -
    exp(epsilon) Phi(-b) is phi(a) times a difference of Mills ratios; that form is used where the plain
    difference would cancel.
    """
    e = np.asarray(epsilons, dtype=np.float64)
    if mu == 0:
        return np.maximum(-np.expm1(np.minimum(e, 0.0)), 0.0)
    a = e / mu - mu / 2
    near = a > -1
    if near.all():
        deltas = _by_ratios(a, mu)
    elif not near.any():
        deltas = _plainly(e, a, mu)
    else:
        deltas = np.empty_like(a)
        deltas[near], deltas[~near] = _by_ratios(a[near], mu), _plainly(e[~near], a[~near], mu)
    return np.asarray(np.clip(deltas, 0.0, 1.0))


def _by_ratios(a: Floats, mu: float) -> Floats:
    far = np.minimum(a, 1e9)
    return np.asarray(0.5 * np.exp(-0.5 * far * far) * _erfcx_drop(far, mu))


def _plainly(e: Floats, a: Floats, mu: float) -> Floats:
    return np.asarray(special.ndtr(-a) - np.exp(np.minimum(e + special.log_ndtr(-a - mu), 0.0)))


def _erfcx_drop(a: Floats, mu: float) -> Floats:
    """erfcx(a / sqrt 2) - erfcx((a + mu) / sqrt 2); by its slope where the difference would cancel."""
    x, h = a / math.sqrt(2), mu / math.sqrt(2)
    if mu > 1e-4:
        return np.asarray(special.erfcx(x) - special.erfcx(x + h))
    y = x + h / 2
    return np.asarray(h * (2 / math.sqrt(math.pi) - 2 * y * special.erfcx(y)))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The smallest epsilon >= 0 with gaussian_delta(mu, epsilon) <= delta, rounded up by less than 1e-9."""
    return solve_epsilon(lambda epsilon: gaussian_delta(mu, epsilon), delta, start=mu * mu / 2 + mu)


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The largest mu with gaussian_delta(mu, epsilon) <= delta, rounded down by less than 1e-9."""
    if not (epsilon >= 0 and 0 < delta < 1):
        raise ValueError("epsilon is not negative and delta lies in (0, 1)")
    low = high = 1.0
    while gaussian_delta(high, epsilon) <= delta:
        high *= 2
    while gaussian_delta(low, epsilon) > delta:
        low /= 2
    excess = partial(_excess, lambda mu: gaussian_delta(mu, epsilon), math.log(delta))
    mu = root(excess, low, high, 1e-13 * low, 1e-13)
    step = 1e-12
    while gaussian_delta(mu, epsilon) > delta:
        mu, step = mu * (1 - step), step * 2
    return mu


def solve_epsilon(profile: Callable[[float], float], delta: float, start: float = 1.0) -> float:
    """The smallest epsilon >= 0 at which a decreasing `profile` is at most `delta`, else infinity.

    The result itself keeps the promise, `profile(result) <= delta`; it is too large by less than 1e-9.
    """
    if profile(0.0) <= delta:
        return 0.0
    low, high = 0.0, max(start, 1e-9)
    while profile(high) > delta:
        low, high = high, high * 2
        if high > LARGEST_EPSILON:
            return math.inf
    found = root(partial(_excess, profile, math.log(delta)), low, high, 1e-15, 1e-15)
    step = max(found * 1e-15, 1e-18)
    while profile(found) > delta:
        found, step = found + step, step * 2
    return found


def _excess(profile: Callable[[float], float], goal: float, at: float) -> float:
    return math.log(max(profile(at), 1e-320)) - goal


def discrete_gaussian_mu(sigma: float, sensitivity: int) -> float:
    """The mu of one marginal with discrete Gaussian noise, moved by at most `sensitivity` in L1 (see above).

    ValueError below sigma = 1.
    """
    if sigma < MIN_SIGMA:
        raise ValueError("no Gaussian price below sigma 1")
    return sensitivity * 2 * math.sqrt(2) * float(special.erfinv(_central_mass(sigma))) * SAFETY


def _central_mass(sigma: float) -> float:
    """P(X = 0) = 1 / sum of exp(-x**2 / (2 sigma**2)); the sum by Poisson's formula, all of whose terms but
    three are below 1e-70 for sigma >= 1."""
    wave = math.exp(-2 * (math.pi * sigma) ** 2)
    return 1 / (sigma * math.sqrt(2 * math.pi) * (1 + 2 * wave))


def bounded_range_mu(epsilon: float) -> float:
    """The mu of one epsilon-bounded-range choice."""
    return pure_mu(epsilon / 2)


def pure_mu(epsilon: float) -> float:
    """The mu of one epsilon-DP mechanism: 2 Phi^-1(1 / (1 + exp(-epsilon)))."""
    return -2 * float(special.ndtri_exp(-np.logaddexp(0.0, epsilon))) * SAFETY
