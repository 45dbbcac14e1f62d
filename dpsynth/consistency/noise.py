"""How large released noise is: means and quantiles of the discrete Gaussian and of its sums."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import ndtri

EXACT_DEVIATION = 12.0
"""Sums with a larger standard deviation are taken as normal, with half a row for the integers between."""


def mean_absolute_noise(sigma: float) -> float:
    """E|X| of the discrete Gaussian with scale `sigma`, X an integer with p(x) ~ exp(-x**2 / (2 sigma**2)).

    The sum itself for small sigma; beyond, sqrt(2 / pi) * (sigma - 1 / (12 sigma)) (Euler and Maclaurin),
    whose relative error is below 1e-6 there.
    """
    if sigma > 10:
        return math.sqrt(2 / math.pi) * (sigma - 1 / (12 * sigma))
    p = _weights(sigma)
    x = np.abs(np.arange(len(p)) - len(p) // 2)
    return float(x @ p)


def half_width(sigma: float, cells: int, confidence: float) -> float:
    """The smallest t with P(|X1 + ... + Xcells| <= t) >= confidence for independent discrete Gaussians.

    Exact (up to 1e-12) for small sums; for larger ones from the normal distribution whose variance is
    cells * sigma**2 (never less than the sum's own), half a row added.
    """
    if cells == 0:
        return 0.0
    deviation = sigma * math.sqrt(cells)
    if deviation > EXACT_DEVIATION:
        return -float(ndtri((1 - confidence) / 2)) * deviation + 0.5
    return float(_exact(sigma, cells, confidence))


@lru_cache(maxsize=4096)
def _exact(sigma: float, cells: int, confidence: float) -> int:
    total, power, left = np.ones(1), _weights(sigma), cells
    while left:
        if left % 2:
            total = _trimmed(_convolved(total, power))
        left //= 2
        if left:
            power = _trimmed(_convolved(power, power))
    middle = len(total) // 2
    outside = 1 - np.concatenate([[total[middle]], total[middle] + 2 * np.cumsum(total[middle + 1 :])])
    return int(np.searchsorted(-outside, -(1 - confidence) - 1e-12))


def _convolved(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """The full convolution."""
    size = len(one) + len(two) - 1
    padded = fft.next_fast_len(size, real=True)
    return np.asarray(fft.irfft(fft.rfft(one, padded) * fft.rfft(two, padded), padded)[:size])


def _weights(sigma: float) -> NDArray[np.float64]:
    """p(x) for x from -m to m, where all but 1e-30 of the mass lies; sums to 1."""
    x = np.arange(-math.ceil(12 * sigma) - 1, math.ceil(12 * sigma) + 2, dtype=np.float64)
    p = np.exp(-(x**2) / (2 * sigma**2))
    return np.asarray(p / p.sum())


def _trimmed(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric middle part without tails below 1e-17, summing to 1."""
    p = np.maximum(p, 0.0)
    keep = np.flatnonzero(p > 1e-17)
    cut = min(int(keep[0]), len(p) - 1 - int(keep[-1]))
    middle = p[cut : len(p) - cut]
    return np.asarray(middle / middle.sum())
