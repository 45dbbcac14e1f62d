"""DP-SGD: one noisy gradient sum over a Poisson sample of units, as privacy loss.

P = (1 - q) N(0, sigma**2) + q N(1, sigma**2) against Q = N(0, sigma**2): the unit is in P only, each unit is
sampled with probability q, and sigma is in units of one unit's largest contribution. This pair dominates (Zhu,
Dong and Wang 2022, theorem 11). With e = exp(epsilon) >= 1 its profile is q times the Gaussian's at
log(1 + (e - 1) / q). The profile of Q, P is (1 - (1 - q) e) times the Gaussian's at
log(q e / (1 - (1 - q) e)) while (1 - q) e < 1, and 0 beyond. Steps compose all in one direction, or all in the
other.
"""

from __future__ import annotations

import math

import numpy as np

from dpsynth.privacy.gaussian import Floats, gaussian_deltas
from dpsynth.privacy.lattice import TAIL, Atoms, Profile, connect_dots

STEPS_PER_SPREAD = 10
"""Lattice steps in one standard deviation of a DP-SGD step's loss; doubling it changes epsilon by about 0.1 %."""


def sampled_gaussian(rate: float, sigma: float) -> tuple[Atoms, Atoms]:
    """The losses of one step at a rate below 1: (unit in P only, unit in Q only)."""
    mu = 1 / sigma

    def with_unit(epsilons: Floats) -> Floats:
        lifted = np.log1p(np.expm1(np.minimum(epsilons, 30.0)) / rate)
        lifted = np.where(epsilons > 30, epsilons - math.log(rate), lifted)
        return rate * gaussian_deltas(mu, lifted)

    def without_unit(epsilons: Floats) -> Floats:
        left = -np.expm1(np.minimum(epsilons + math.log1p(-rate), 0.0))
        with np.errstate(divide="ignore"):
            lifted = epsilons + math.log(rate) - np.log(left)
        inside = left > 0
        return np.where(inside, left * gaussian_deltas(mu, np.where(inside, lifted, 1e9)), 0.0)

    step = _step_spread(rate, sigma) / STEPS_PER_SPREAD
    top = max(_vanishes(with_unit, step), _vanishes(without_unit, step))
    return connect_dots(with_unit, without_unit, step, top), connect_dots(without_unit, with_unit, step, top)


def _step_spread(rate: float, sigma: float) -> float:
    """The standard deviation of one step's privacy loss, by summation over a grid of outputs."""
    x = np.linspace(-12, 12 + 1 / sigma, 20_001)
    density = (1 - rate) * np.exp(-x * x / 2) + rate * np.exp(-((x - 1 / sigma) ** 2) / 2)
    density /= density.sum()
    loss = np.logaddexp(math.log1p(-rate), math.log(rate) + x / sigma - 0.5 / sigma**2)
    mean = float((density * loss).sum())
    return math.sqrt(float((density * (loss - mean) ** 2).sum()))


def _vanishes(profile: Profile, step: float) -> int:
    """A number of steps at which a profile is below TAIL, at most 8 too many."""
    low, high = 0, 16
    while profile(np.array([high * step]))[0] > TAIL:
        low, high = high, high * 2
    while high - low > 8:
        middle = (low + high) // 2
        if profile(np.array([middle * step]))[0] > TAIL:
            low = middle
        else:
            high = middle
    return high
