"""Are batches what their accounting says: each unit in, by a coin of its own, with the stated rate?

Amplification by sampling is priced for independent coins. Batches of one size, shuffled epochs and rates that differ between
units are cheaper to write and cost more privacy than is booked. From a table of who was in which batch:

* the number of units in a batch varies as a binomial one (a fixed size does not vary at all);
* so does the number of batches that a unit is in (in shuffled epochs that never varies);
* a unit's batches do not depend on each other (in epochs, being in one forbids the next).

Each is a sum of squares of standardised binomial numbers, compared with its chi-square law from both sides. The normal
approximation is good where the expected numbers are above about 10; `UNLIKELY` leaves room for what it misses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Inclusion = NDArray[np.bool_]
"""Who is in which batch, shape (batches, units)."""

UNLIKELY = 1e-9
FEWEST = 10.0


@dataclass(frozen=True)
class Oddity:
    """One way in which batches differ from independent coins. `p_value`: of the coins doing so."""

    name: str
    words: str
    p_value: float


def oddities(inside: Inclusion, rate: float) -> list[Oddity]:
    """What these batches do that coins of this rate would do with probability below `UNLIKELY`; mostly nothing.

    ValueError for a table too small for the approximation: expected numbers below `FEWEST`.
    """
    batches, units = inside.shape
    if min(batches, units) * min(rate, 1 - rate) < FEWEST:
        raise ValueError("too few batches or units for this rate")
    sizes, times = inside.sum(axis=1), inside.sum(axis=0)
    again = (inside[1:] & inside[:-1]).sum(axis=0)
    tests = [
        ("rate", "units are in at another rate than stated", _two_sided_normal(inside, rate)),
        (
            "size",
            "the number of units in a batch does not vary as coins make it",
            _squares(sizes, units, rate),
        ),
        (
            "turns",
            "the number of batches of a unit does not vary as coins make it",
            _squares(times, batches, rate),
        ),
        ("next", "being in one batch tells of the next", _mean(again, batches - 1, rate)),
    ]
    return [Oddity(name, words, p) for name, words, p in tests if p < UNLIKELY]


def _squares(numbers: NDArray[np.int64], trials: int, rate: float) -> float:
    """Two-sided p-value of the variance of these binomial numbers."""
    total = float(((numbers - trials * rate) ** 2).sum()) / (trials * rate * (1 - rate))
    n = len(numbers)
    return float(2 * min(special.chdtr(n, total), special.chdtrc(n, total)))


def _two_sided_normal(inside: Inclusion, rate: float) -> float:
    n = inside.size
    z = (float(inside.sum()) - n * rate) / np.sqrt(n * rate * (1 - rate))
    return float(2 * special.ndtr(-abs(z)))


def _mean(again: NDArray[np.int64], pairs: int, rate: float) -> float:
    """Of the number of times that units are in two batches in a row. Neighbouring pairs share a batch: their covariance
    is rate^3 (1 - rate)."""
    n, q = len(again), rate * rate
    each = pairs * q * (1 - q) + 2 * (pairs - 1) * rate**3 * (1 - rate)
    z = (float(again.sum()) - n * pairs * q) / np.sqrt(n * each)
    return float(2 * special.ndtr(-abs(z)))


def poisson(batches: int, units: int, rate: float, rng: np.random.Generator) -> Inclusion:
    """The reference: coins."""
    return np.asarray(rng.random((batches, units)) < rate)


def fixed(batches: int, units: int, rate: float, rng: np.random.Generator) -> Inclusion:
    """A lie: batches of one size."""
    size = round(rate * units)
    return np.stack([_in(rng.permutation(units)[:size], units) for _ in range(batches)])


def epochs(batches: int, units: int, rate: float, rng: np.random.Generator) -> Inclusion:
    """A lie: shuffled epochs."""
    size = round(rate * units)
    turns: list[NDArray[np.int64]] = []
    while len(turns) < batches:
        order = rng.permutation(units)
        turns += [order[start : start + size] for start in range(0, units - size + 1, size)]
    return np.stack([_in(turn, units) for turn in turns[:batches]])


SAMPLERS: dict[str, Callable[[int, int, float, np.random.Generator], Inclusion]] = {
    "poisson": poisson,
    "fixed": fixed,
    "epochs": epochs,
}


def _in(chosen: NDArray[np.int64], units: int) -> Inclusion:
    found = np.zeros(units, dtype=np.bool_)
    found[chosen] = True
    return found
