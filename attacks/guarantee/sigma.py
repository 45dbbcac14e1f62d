"""How much noise was really added: intervals of its scale from residuals, beside the scale that was stated.

Residual i is a released count less the exact one; stated is discrete Gaussian noise of scale sigma_i. If all real scales
are `c` times the stated ones, S = sum of (residual_i / sigma_i)^2 tells c.

* *Chi-square*: S / c^2 has the chi-square distribution with n degrees of freedom; right for continuous noise, and for the
  discrete Gaussian from sigma 2 on, whose moments then agree to within 1e-15.
* *Discrete*: the noise law is an exponential family in 1 / c^2 with statistic S, so that both tails of S have a Chernoff
  bound from the family's own normaliser, the sum of exp(-x^2 / (2 c^2 sigma_i^2)) over the integers. Valid for
  every n and every sigma (rounding noise to integers cannot fool it), a little wider.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]

CONTINUOUS_FROM = 2.0
"""Smallest stated sigma from which the chi-square interval is used."""


@dataclass(frozen=True)
class Scale:
    """Real over stated noise scale: between `low` and `high` at `confidence`, `value` in the middle; `cells` residuals."""

    value: float
    low: float
    high: float
    cells: int
    confidence: float
    way: str

    def as_json(self) -> dict[str, object]:
        return {
            "real_over_stated": finite(self.value),
            "low": finite(self.low),
            "high": finite(self.high),
            "cells": self.cells,
            "confidence": self.confidence,
            "way": self.way,
        }


def finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def scale(residuals: NDArray[np.int64], sigmas: Floats, confidence: float) -> Scale:
    """The interval for this many residuals, by the way that is valid for the smallest stated sigma.

    `residuals` and `sigmas` have shape (n,), n >= 1; ValueError otherwise.
    """
    if residuals.shape != sigmas.shape or residuals.ndim != 1 or not len(residuals):
        raise ValueError("as many residuals as stated scales, at least one")
    way = chi_square if float(sigmas.min()) >= CONTINUOUS_FROM else discrete
    return way(residuals, sigmas, confidence)


def chi_square(residuals: NDArray[Any], sigmas: Floats, confidence: float) -> Scale:
    """From the chi-square distribution of the normalised sum of squares."""
    n, tail = len(residuals), (1 - confidence) / 2
    total = _squares(residuals, sigmas)
    low = math.sqrt(total / (2 * float(special.gammainccinv(n / 2, tail))))
    high = math.sqrt(total / (2 * float(special.gammaincinv(n / 2, tail))))
    return Scale(math.sqrt(total / n), low, high, n, confidence, "chi-square")


def discrete(residuals: NDArray[np.int64], sigmas: Floats, confidence: float) -> Scale:
    """From Chernoff's bound inside the discrete Gaussian family."""
    n = len(residuals)
    total = _squares(residuals, sigmas)
    distinct, counts = np.unique(sigmas, return_counts=True)
    family = _Family(distinct, counts.astype(np.float64))
    fitted = family.natural(total)
    room = -math.log((1 - confidence) / 2)
    low = family.where(lambda eta: family.divergence(fitted, eta, total) - room, fitted, upwards=True)
    high = family.where(lambda eta: family.divergence(fitted, eta, total) - room, fitted, upwards=False)
    return Scale(_c(fitted), _c(low), _c(high), n, confidence, "discrete Gaussian, Chernoff")


def _squares(residuals: NDArray[Any], sigmas: Floats) -> float:
    return float(((residuals / sigmas) ** 2).sum())


def _c(eta: float) -> float:
    return 0.0 if math.isinf(eta) else 1.0 / math.sqrt(eta)


@dataclass(frozen=True, eq=False)
class _Family:
    """Laws of S with density proportional to exp(-eta S / 2), eta = 1 / c^2; `sigmas` are distinct, each `counts` times."""

    sigmas: Floats
    counts: Floats

    def mean(self, eta: float) -> float:
        """Expected S."""
        step = 1e-5 * eta
        return -(self.normaliser(eta + step) - self.normaliser(eta - step)) / step

    def normaliser(self, eta: float) -> float:
        """A(eta): the logarithm of the normalising sum, over all residuals."""
        rates = eta / (2 * self.sigmas**2)
        return float(self.counts @ _log_sums(rates))

    def natural(self, total: float) -> float:
        """The eta at which S has this mean; infinite for residuals that are all zero."""
        if total <= 0:
            return math.inf
        low, high = 1e-12, 1.0
        while self.mean(high) > total:
            high *= 4.0
            if high > 1e9:
                return math.inf
        return float(optimize.brentq(lambda eta: self.mean(eta) - total, low, high, xtol=1e-14, rtol=1e-10))

    def divergence(self, fitted: float, eta: float, total: float) -> float:
        """What Chernoff's bound of S being as far out as `total`, under eta, is the exponential of (negated)."""
        if math.isinf(fitted):
            return self.normaliser(eta)  # P[all residuals are 0] = exp(-A)
        return self.normaliser(eta) - self.normaliser(fitted) + (eta - fitted) * total / 2

    def where(self, excess: Callable[[float], float], fitted: float, *, upwards: bool) -> float:
        """Where the divergence from `fitted` has grown to the confidence's, in the wanted direction."""
        if math.isinf(fitted):
            if upwards:
                return math.inf
            inside = 1e9
        else:
            inside = fitted
        outside = inside
        for _ in range(200):
            outside = outside * 1.5 if upwards else outside / 1.5
            if excess(outside) > 0:
                return float(optimize.brentq(excess, inside, outside, rtol=1e-10))
        return outside


def _log_sums(rates: Floats) -> Floats:
    """log of the sum of exp(-rate x^2) over all integers; by Poisson's formula where the rate is small."""
    small = np.minimum(rates, 1.0)
    waves = 1 + 2 * np.exp(-(np.pi**2) / small) + 2 * np.exp(-4 * np.pi**2 / small)
    by_waves = 0.5 * np.log(np.pi / small) + np.log(waves)
    steps = np.arange(1, 7)[:, None] ** 2
    by_sum = np.log1p(2 * np.exp(-np.maximum(rates, 1.0) * steps).sum(axis=0))
    return np.asarray(np.where(rates < 1.0, by_waves, by_sum))
