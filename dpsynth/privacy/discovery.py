"""Discovery: which values a column has, and how far its numbers reach, from noisy numbers of units.

*Values* are found by partition selection (Korolova, Kenthapadi, Mishra and Ntoulas 2009; Desfontaines, Voss, Gipson and
Mandayam 2022): the number of units that have a value gets discrete Gaussian noise, and the value is released when that
reaches a threshold. Let one unit with at most k rows come in. Of the values it brings, at most k in all, some others have
too: their numbers move by one each, which is what k noisy numbers of sensitivity 1 cost. The others nobody else has: each
of their numbers is 1, and the threshold t is the least whole number with

    k P(X >= t - 1) <= delta,

so that one of them is released with probability at most delta *for all k together*. Otherwise nothing tells of them: the
two runs differ by the noisy numbers alone, and delta is an additive failure of the run.

*Bounds* are found on a public logarithmic scale: the numbers of units in all its intervals, empty ones too, get the same
noise, and the outermost interval that stands out holds the bound. The scale is public, so nothing fails and delta is 0.

*How the threshold is computed.* P(X >= s) = sum_{m >= s} exp(-m^2 / 2 sigma^2) / Z with Z >= max(1, sigma sqrt(2 pi)) (by
Poisson's summation, all terms of which are positive), and the sum is at most its first term over
1 - exp(-(2 s + 1) / 2 sigma^2), since each term is at most that factor of the one before. Both in decimal arithmetic of 40
digits, with a margin for its rounding: no float decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Budget, Cost
from dpsynth.discovery import BOUNDS, VALUES
from dpsynth.engines.raw import RawColumn
from dpsynth.privacy import sensitivity
from dpsynth.privacy.events import Charge, DiscreteGaussian, PartitionSelection

__all__ = ["BoundSearch", "RawColumn", "Search", "ValueSearch", "delta_each", "share_each", "sigma_for"]

SHARE, MOST_SHARE = 0.05, 0.2
"""The part of a run's cost that one discovery gets, and all of them at most."""
DELTA_SHARE = 2.0**-9
"""The part of a run's delta that its discoveries may use up: a ledger sets aside a tenth of its own for all runs."""
STRAY = 1e-3
"""The probability that an empty interval of the public scale is taken for one with units, in all of them together. It
concerns usefulness only."""
_DIGITS, _MARGIN = 40, Decimal("1.000000000001")


@dataclass(frozen=True)
class ValueSearch:
    """A question about values: noise scale `sigma` in units, `delta` of its own, at most `most` values as the answer."""

    column: str
    sigma: float
    rows_per_unit: int
    delta: float
    most: int

    @property
    def charge(self) -> Charge:
        return Charge(VALUES, PartitionSelection(_noise(self.sigma, self.rows_per_unit), self.delta))

    @property
    def threshold(self) -> int:
        """The noisy number of units from which on a value is released."""
        return threshold(self.sigma, self.rows_per_unit, self.delta)


@dataclass(frozen=True)
class BoundSearch:
    """A question about bounds: `edges` of the public scale, noise scale `sigma` in units."""

    column: str
    sigma: float
    rows_per_unit: int
    edges: tuple[float, ...]

    @property
    def charge(self) -> Charge:
        return Charge(BOUNDS, PartitionSelection(_noise(self.sigma, self.rows_per_unit), 0.0))

    @property
    def threshold(self) -> int:
        """The noisy number of units from which on an interval counts as one that holds some."""
        return threshold(self.sigma, max(1, len(self.edges) - 1), STRAY) - 1


Search: TypeAlias = ValueSearch | BoundSearch


def sigma_for(cost: Cost, rows_per_unit: int) -> float:
    """The noise scale of numbers of units at which one search costs at most `cost`: k numbers move by one each."""
    return sensitivity.gaussian_sigma(
        cost, sensitivity.UNIT_COUNT, sensitivity.values_of_a_unit(rows_per_unit)
    )


def share_each(searches: int) -> float:
    """The part of a run's cost that each of so many searches gets."""
    return min(SHARE, MOST_SHARE / searches) if searches else 0.0


def delta_each(budget: Budget, searches: int) -> float:
    """The additive delta of each of so many searches for values."""
    return budget.delta * DELTA_SHARE / max(1, searches)


def _noise(sigma: float, rows_per_unit: int) -> DiscreteGaussian:
    values = sensitivity.values_of_a_unit(rows_per_unit)
    return DiscreteGaussian(sigma, sensitivity.UNIT_COUNT, values)


@lru_cache(maxsize=1024)
def threshold(sigma: float, values: int, delta: float) -> int:
    """The least whole number t with ``values * P(X >= t - 1) <= delta`` for discrete Gaussian X; rounded up, never down."""
    low, high = 1, 2
    while values * tail(sigma, high - 1) > Decimal(delta):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if values * tail(sigma, middle - 1) > Decimal(delta):
            low = middle
        else:
            high = middle
    return high


def tail(sigma: float, start: int) -> Decimal:
    """An upper bound of P(X >= start) for discrete Gaussian X of scale `sigma`, start >= 0 (see above)."""
    with localcontext() as context:
        context.prec = _DIGITS
        square = 2 * Decimal(sigma) ** 2
        first = (-(Decimal(start) ** 2) / square).exp()
        ratio = (-(2 * Decimal(start) + 1) / square).exp()
        whole = max(Decimal(1), Decimal(sigma) * Decimal("2.5066282746310005024"))
        return min(Decimal(1), first / (1 - ratio) / whole * _MARGIN)


def released_values(search: ValueSearch, words: list[str], noisy: NDArray[np.int64]) -> list[str]:
    """The values whose noisy number of units reaches the threshold, sorted; of more than `most` those with the largest
    numbers, ties by the texts. A function of noisy numbers, and of texts that reach the threshold, only."""
    passed = [(word, int(n)) for word, n in zip(words, noisy, strict=True) if n >= search.threshold]
    passed.sort(key=lambda one: (-one[1], one[0]))
    return sorted(word for word, _ in passed[: search.most])


def released_bounds(search: BoundSearch, noisy: NDArray[np.int64]) -> tuple[float, float]:
    """The edges around all intervals whose noisy number of units stands out; the whole scale when none does."""
    found = np.flatnonzero(noisy >= search.threshold)
    if not len(found):
        return search.edges[0], search.edges[-1]
    return search.edges[int(found[0])], search.edges[min(int(found[-1]) + 1, len(search.edges) - 1)]


def in_order(counts: Mapping[str, int]) -> tuple[list[str], NDArray[np.int64]]:
    """Values and numbers of units, sorted by the texts: nothing depends on where a value first appeared."""
    words = sorted(counts)
    return words, np.array([counts[word] for word in words], dtype=np.int64)
