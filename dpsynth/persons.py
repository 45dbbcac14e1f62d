"""How many rows a unit has: what is released of it, and the sizes of synthetic units. No data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SINGLE_BINS = 16
"""Numbers of rows that are counted one by one; above them bins grow by a quarter."""


def size_starts(most: int) -> Integers:
    """The first number of rows of each bin, from 1 to `most`: a public grid, shape (bins,).

    >>> size_starts(3)
    array([1, 2, 3])
    """
    if most < 1:
        raise ValueError("a unit has at least one row")
    starts = list(range(1, min(most, SINGLE_BINS) + 1))
    while starts[-1] < most:
        if (following := starts[-1] + max(1, starts[-1] // 4)) > most:
            break
        starts.append(following)
    return np.array(starts, dtype=np.int64)


def binned(counts: Integers) -> Integers:
    """Numbers of units with 1, 2, ... rows, summed by the bins of `size_starts`."""
    return np.add.reduceat(counts, size_starts(len(counts)) - 1)


@dataclass(frozen=True, eq=False)
class UnitSizes:
    """A released histogram: `counts[b]` units, with noise of scale `sigma`, have as many rows as bin b of
    `size_starts(most)` says; none has more than `most`."""

    most: int
    counts: Integers
    sigma: float

    def __post_init__(self) -> None:
        whole = self.counts.dtype == np.int64 and self.counts.shape == size_starts(self.most).shape
        if not whole or not (np.isfinite(self.sigma) and self.sigma > 0):
            raise ValueError("a whole number of units for each bin, and the noise in them")

    @cached_property
    def shares(self) -> Floats:
        """The share of units with 1, 2, ..., `most` rows, shape (most,), evenly within a bin.

        The nearest histogram without negative counts that has the same number of units (a projection on the simplex).
        If nothing but noise was seen, every unit has one row.
        """
        starts = size_starts(self.most)
        width = np.diff(np.append(starts, self.most + 1))
        units = float(self.counts.sum())
        if units <= 0:
            return np.asarray(np.eye(1, self.most)[0], dtype=np.float64)
        even = on_simplex(self.counts / units) / width
        return np.asarray(np.repeat(even, width), dtype=np.float64)

    @property
    def mean(self) -> float:
        """Rows of a unit on average."""
        return float(self.shares @ np.arange(1, self.most + 1))

    @property
    def units(self) -> int:
        """The released number of units, at least one."""
        return max(1, int(self.counts.sum()))

    def thinned(self, kept: float) -> Floats:
        """`shares` of those units that keep a row when each row stays with probability `kept`: binomial thinning."""
        if not 0 < kept <= 1:
            raise ValueError("a probability above 0")
        found = self.shares
        if kept == 1:
            return found
        left = np.zeros(self.most + 1)
        for rows in range(1, self.most + 1):
            if found[rows - 1] > 0:
                left[: rows + 1] += found[rows - 1] * _binomial(rows, kept)
        # what is kept of nobody says nothing about how many rows somebody has
        none = np.eye(1, self.most)[0]
        return np.asarray(left[1:] / left[1:].sum() if left[1:].sum() > 0 else none, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return {"most": self.most, "counts": self.counts.tolist(), "sigma": self.sigma}

    @classmethod
    def from_state(cls, facts: Mapping[str, Any]) -> UnitSizes:
        """The inverse of `state`. KeyError, TypeError or ValueError for anything else."""
        counts = facts["counts"]
        if not all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
            raise ValueError("counts are whole numbers")
        return cls(int(facts["most"]), np.array(counts, dtype=np.int64), float(facts["sigma"]))


def on_simplex(values: Floats) -> Floats:
    """The nearest point (Euclidean) whose entries are not negative and sum to 1 (Held, Wolfe and Crowder 1974)."""
    falling = np.sort(values)[::-1]
    above = (np.cumsum(falling) - 1) / np.arange(1, len(values) + 1)
    taken = int(np.flatnonzero(falling > above)[-1])
    return np.asarray(np.maximum(values - above[taken], 0.0), dtype=np.float64)


def _binomial(rows: int, kept: float) -> Floats:
    """P(0), ..., P(rows) kept of `rows`."""
    chance = np.ones(1)
    for _ in range(rows):
        chance = np.append(chance * (1 - kept), 0.0) + np.append(0.0, chance * kept)
    return chance


def sizes_for(rows: int, shares: Floats) -> Integers:
    """How many synthetic units have 1, 2, ... rows so that they have `rows` together, shape (len(shares),).

    Expected numbers are rounded, the largest rests first; rows that are then lacking or left over make one unit smaller
    or a few more units, of the likeliest sizes that fit.
    """
    width = np.arange(1, len(shares) + 1)
    expected = shares * (rows / float(shares @ width))
    counts = np.floor(expected).astype(np.int64)
    for size in np.argsort(counts - expected, kind="stable"):  # the largest rests first
        if counts @ width + width[size] <= rows and expected[size] > counts[size]:
            counts[size] += 1
    left = rows - int(counts @ width)
    while left:
        fits = np.flatnonzero((shares > 0) & (width <= left))
        size = int(fits[np.argmax(shares[fits] * width[fits])]) if len(fits) else left - 1
        counts[size] += 1
        left -= int(width[size])
    return counts


def sizes_of(units: int, shares: Floats) -> Integers:
    """How many of `units` synthetic units have 1, 2, ... rows, shape (len(shares),): expected numbers, rounded, the largest
    rests up."""
    expected = shares * units
    counts = np.floor(expected).astype(np.int64)
    rest = units - int(counts.sum())
    counts[np.argsort(counts - expected, kind="stable")[:rest]] += 1
    return counts
