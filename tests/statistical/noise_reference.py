"""The laws of the noise and p-values of samples against them, without the sampler's own arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

PASS = 1e-9
"""The truth lies above it, a planted lie below; a run of all tests fails by chance less than once in 1e6."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Cdf = Callable[[Integers], Floats]
"""P(X <= x) at integers x, shape (k,)."""


def gaussian_cdf(sigma: float) -> Cdf:
    """Of the discrete Gaussian: summed term by term; from 1e4 on the midpoint rule errs by under 1e-9."""
    if sigma >= 1e4:
        return lambda x: special.ndtr((x + 0.5) / sigma)
    reach = int(40 * sigma) + 2
    return _summed(np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)), reach)


def laplace_cdf(scale: float) -> Cdf:
    """Of the discrete Laplace, in closed form: P(X <= -m) = r**m / (1 + r), r = exp(-1 / scale)."""
    ratio = np.exp(-1 / scale)

    def cdf(x: Integers) -> Floats:
        below = np.exp(-np.maximum(-x, 0) / scale) / (1 + ratio)
        above = 1 - np.exp(-(np.maximum(x, 0) + 1) / scale) / (1 + ratio)
        return np.where(x < 0, below, above)

    return cdf


def _summed(weights: Floats, reach: int) -> Cdf:
    cumulative = np.cumsum(weights) / weights.sum()
    return lambda x: cumulative[np.clip(x + reach, 0, 2 * reach)]


def fit_p(sample: Integers, cdf: Cdf, cells: int = 60) -> float:
    """Chi-square of the histogram against `cdf`, in cells of at least 25 expected draws that the law sets."""
    edges = _edges(cdf, max(abs(int(sample.min())), abs(int(sample.max())), 1), 25 / len(sample), cells)
    probability = np.diff(cdf(edges), prepend=0.0, append=1.0)
    observed = np.bincount(np.searchsorted(edges, sample, side="left"), minlength=len(edges) + 1)
    return float(stats.chisquare(observed, probability / probability.sum() * len(sample)).pvalue)


def _edges(cdf: Cdf, reach: int, least: float, cells: int) -> Integers:
    """Integers between which the law has at least `least` and, where it can, about 1 / cells."""
    grid = np.unique(np.rint(np.linspace(-reach, reach, 4001)).astype(np.int64))
    step = max(least, 1 / cells)
    chosen, last = [], 0.0
    for x, below in zip(grid, cdf(grid), strict=True):
        if below - last >= (step if 0.02 < below < 0.98 else least) and 1 - below >= least:
            chosen.append(x)
            last = below
    return np.array(chosen, np.int64)


def same_law_p(one: Integers, other: Integers, cells: int = 40) -> float:
    """Chi-square homogeneity of two samples over cells cut at quantiles of both together."""
    both = np.concatenate([one, other])
    edges = np.unique(np.quantile(both, np.linspace(0, 1, cells + 1)[1:-1], method="lower"))
    table = np.stack([np.bincount(np.searchsorted(edges, s), minlength=len(edges) + 1) for s in (one, other)])
    return float(stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue)


def count_p(hits: int, n: int, probability: float) -> float:
    """Two-sided exact binomial p-value."""
    return float(stats.binomtest(hits, n, probability).pvalue)


def uniform_p(values: Integers, size: int) -> float:
    """Chi-square of `values` against the uniform law on 0 .. size - 1; 0 where one lies outside."""
    counts = np.bincount(values, minlength=size)
    return float(stats.chisquare(counts).pvalue) if len(counts) == size else 0.0


def correlation_p(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """Two-sided p-value of the correlation of two columns of independent draws (normal limit)."""
    r = np.corrcoef(one.astype(np.float64), other.astype(np.float64))[0, 1]
    return float(2 * stats.norm.sf(abs(r) * np.sqrt(len(one))))
