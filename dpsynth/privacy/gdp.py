"""Gaussian-DP prices: which mu an event has, and the least mu above a given profile.

*From a profile.* A run's profile is evaluated at finitely many epsilons; the straight lines in between (in
exp(epsilon)) lie above it. Line i is 1 - beta - alpha exp(epsilon): the vertex (alpha, beta) of a piecewise linear
trade-off function. The Gaussian's trade-off function is convex, so it lies below that of the run everywhere
as soon as it does at these vertices, which is a closed formula for mu. Negative epsilons are the positive
ones of the pair with its sides exchanged, so both directions are walked from 0 upwards.

*A round.* Choices followed by Gaussian measurements, all parameters fixed before, are priced jointly from the
profile of `bounded_range.choices_then`. That is less than their own prices composed: the measurements' noise
blurs the two-point losses of the choices, which alone are what makes their own mu large.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import special

from dpsynth.privacy import bounded_range
from dpsynth.privacy.events import (
    BoundedRange,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    GdpGrant,
    PureDp,
)
from dpsynth.privacy.gaussian import MIN_SIGMA, Floats, bounded_range_mu, discrete_gaussian_mu, pure_mu
from dpsynth.privacy.zcdp import Unpriceable

ROUNDING = 1e-7
"""Covers the rounding of profiles that were summed over a lattice, relative to mu."""
NEGLIGIBLE = 1e-25
"""What the joint price of a round leaves out of delta, where its table ends."""
MAX_ROUND = 64
"""Choices in one round; more are priced one by one."""


def event_mu(event: Event) -> float:
    """The mu of one event; Unpriceable for what has none (DP-SGD, additive deltas, sigma below 1)."""
    match event:
        case DiscreteGaussian(sigma, k, count) if sigma >= MIN_SIGMA:
            return discrete_gaussian_mu(sigma, k) * math.sqrt(count)
        case BoundedRange(epsilon, count):
            return bounded_range_mu(epsilon) * math.sqrt(count)
        case DiscreteLaplace(scale, k, count):
            return pure_mu(k / scale) * math.sqrt(count)
        case PureDp(epsilon, count):
            return pure_mu(epsilon) * math.sqrt(count)
        case GdpGrant(mu):
            return mu
        case Composed(events):
            return min(math.sqrt(math.fsum(event_mu(part) ** 2 for part in events)), _round_mu(events))
        case _:
            raise Unpriceable(f"'{event.kind}' has no Gaussian price")


def _round_mu(events: tuple[Event, ...]) -> float:
    """The joint price of choices followed by Gaussian measurements; infinite for anything else."""
    choices = [part for part in events if isinstance(part, BoundedRange)]
    measured = events[len(choices) :]
    if not choices or tuple(choices) != events[: len(choices)] or not measured:
        return math.inf
    if not all(isinstance(part, DiscreteGaussian) for part in measured):
        return math.inf
    mu = math.sqrt(math.fsum(event_mu(part) ** 2 for part in measured))
    epsilons = tuple(epsilon for part in choices for epsilon in [part.epsilon] * part.count)
    return _choices_then_mu(epsilons, mu) if len(epsilons) <= MAX_ROUND else math.inf


@lru_cache(maxsize=4096)
def _choices_then_mu(epsilons: tuple[float, ...], mu: float) -> float:
    step, deltas = bounded_range.choices_then(epsilons, mu)
    return least_mu(step * np.arange(len(deltas), dtype=np.float64), deltas, deltas, NEGLIGIBLE)


def least_mu(epsilons: Floats, forward: Floats, reverse: Floats, d0: float) -> float:
    """The least mu for profiles given at increasing `epsilons` from 0, of P, Q and of Q, P; infinite when
    there is none."""
    return max(_one_side(epsilons, forward, d0), _one_side(epsilons, reverse, d0)) * (1 + ROUNDING)


def _one_side(epsilons: Floats, deltas: Floats, d0: float) -> float:
    if deltas[-1] > d0:
        return math.inf
    levels = np.exp(epsilons)
    alpha = np.maximum(-np.diff(deltas) / np.diff(levels), 0.0)
    seen = deltas[:-1] + alpha * levels[:-1]  # 1 - beta
    hit = (seen - d0) / (1 - d0)
    bound = hit > 0
    if not bound.any():
        return 0.0
    if (alpha[bound] == 0).any() or (hit[bound] >= 1).any():
        return math.inf
    return float(np.max(special.ndtri(hit[bound]) - special.ndtri(np.minimum(alpha[bound] / (1 - d0), 1.0))))
