"""Concentrated differential privacy: prices that add up, and what they promise.

rho-zCDP: the Renyi divergence of order alpha is at most rho * alpha for every alpha > 1 (Bun and Steinke
2016). Sums of rho compose, fully adaptively too, behind a filter (Feldman and Zrnic 2021; Whitehouse,
Ramdas, Rogers and Wu 2023).

*Pure DP.* An epsilon-DP mechanism is (epsilon tanh(epsilon / 2))-zCDP, at most epsilon**2 / 2. Worst is
randomised response (Kairouz, Oh and Viswanath 2015), whose divergence of order alpha is log(cosh(s u) /
cosh(u)) / (alpha - 1) with u = epsilon / 2 and s = 2 alpha - 1. As log cosh(sqrt(w) u) is concave in w, it
lies below its tangent at w = 1, and w = s**2 gives log(cosh(s u) / cosh(u)) <= (s**2 - 1) / 2 * u tanh(u) =
(alpha - 1) alpha epsilon tanh(epsilon / 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dpsynth.privacy.events import (
    BoundedRange,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    External,
    GdpGrant,
    PartitionSelection,
    PureDp,
    ZcdpGrant,
    flatten,
)
from dpsynth.privacy.gaussian import Floats
from dpsynth.privacy.solving import least


class Unpriceable(Exception):
    """An accountant has no theorem for an event. Internal: that accountant is left out."""


def event_rho(event: Event) -> float:
    """rho of one event, repetitions included; additive failures (`failure`) are not in it. Unpriceable for DP-SGD."""
    return math.fsum(_rho(part) for part in flatten([event]))


def _rho(event: Event) -> float:  # noqa: PLR0911
    match event:
        case DiscreteGaussian(sigma, k, count):
            return count * (k / sigma) ** 2 / 2
        case BoundedRange(epsilon, count):
            return count * epsilon**2 / 8
        case DiscreteLaplace(scale, k, count):
            return count * pure_rho(k / scale)
        case PureDp(epsilon, count):
            return count * pure_rho(epsilon)
        case External(epsilon, _):
            return pure_rho(epsilon)
        case PartitionSelection(noise, _):
            return _rho(noise)
        case ZcdpGrant(rho):
            return rho
        case GdpGrant(mu):
            return mu**2 / 2
        case _:
            raise Unpriceable(f"zCDP has no price for '{event.kind}'")


def pure_rho(epsilon: float) -> float:
    """The zCDP parameter of an epsilon-DP mechanism (see above)."""
    return epsilon * math.tanh(epsilon / 2)


def failure(events: Sequence[Event]) -> float:
    """The probability that some additive delta strikes: 1 - product of (1 - delta).

    An (epsilon, delta) mechanism is dominated by one that gives all away with probability delta and is
    epsilon-DP otherwise (Kairouz, Oh and Viswanath 2015); partition selection likewise. Hence delta(e) =
    failure + (1 - failure) * delta of the rest.
    """
    parts = [event.delta for event in flatten(events) if isinstance(event, External | PartitionSelection)]
    return -math.expm1(math.fsum(math.log1p(-delta) for delta in parts))


def zcdp_epsilon(rho: float, delta: float) -> float:
    """The epsilon of rho-zCDP at delta: the least over alpha > 1 of

    rho alpha + (log(1 / delta) - log(alpha)) / (alpha - 1) + log(1 - 1 / alpha)

    (Canonne, Kamath and Steinke 2020, corollary 13), never below 0. Any alpha is valid, so the search need
    not be exact.
    """
    if rho == 0:
        return 0.0

    def bound(log_gap: float) -> float:
        gap = math.exp(log_gap)
        alpha = 1 + gap
        return rho * alpha - (math.log(delta) + math.log1p(gap)) / gap + log_gap - math.log1p(gap)

    guess = 0.5 * math.log(math.log(1 / delta) / rho)
    return max(least(bound, guess - 12, guess + 6, 1e-8), 0.0)


def largest_rho(epsilon: float, delta: float) -> float:
    """The largest rho with zcdp_epsilon(rho, delta) <= epsilon, to within 1e-9 of itself."""
    low, high = 1e-30, 1.0
    while zcdp_epsilon(high, delta) <= epsilon:
        low, high = high, high * 4
    while high > low * (1 + 1e-10):
        middle = math.sqrt(low * high)
        if zcdp_epsilon(middle, delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low


def zcdp_deltas(rho: float, epsilons: Floats) -> Floats:
    """delta at each epsilon, by the same theorem (their proposition 12): the least over alpha > 1 of

    exp((alpha - 1)(alpha rho - epsilon)) / (alpha - 1) * (1 - 1 / alpha)**alpha.
    """

    def log_deltas(log_gaps: Floats) -> Floats:
        gap = np.exp(log_gaps)
        alpha = 1 + gap
        return gap * (alpha * rho - epsilons[:, None]) - log_gaps + alpha * (log_gaps - np.log1p(gap))

    coarse = np.broadcast_to(np.linspace(-16, 16, 321), (len(epsilons), 321))
    start = np.take_along_axis(coarse, np.argmin(log_deltas(coarse), axis=1)[:, None], axis=1)
    least = log_deltas(start + np.linspace(-0.1, 0.1, 41)).min(axis=1)
    return np.asarray(np.exp(np.minimum(least, 0.0)))
