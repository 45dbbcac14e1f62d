"""Discrete Gaussian noise of small scale, by brute force: there the Gaussian price is loose, below 1 refused.

The profile of one marginal whose unit moves it by an integer vector v is exact: cells are independent, and
a cell moved by j has loss (j**2 - 2 j x) / (2 sigma**2) at noise x. Noise is symmetric, so signs do not
matter, and a larger move of any cell is easier to see (the vertices P(X <= t - j) fall with j); so only the
partitions of k into positive parts can be worst. The maximum of their profiles is convex in exp(epsilon)
again and has a dominating pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from dpsynth.privacy.events import DiscreteGaussian
from dpsynth.privacy.gaussian import MIN_SIGMA, Floats
from dpsynth.privacy.lattice import Atoms, connect_dots
from dpsynth.privacy.zcdp import Unpriceable

EXACT_BELOW = 2.0
"""Up to here the Gaussian price would waste more than 1 % (at 1: 4.5 %), and brute force is cheap."""
MAX_ROWS = 8
"""Partitions of a larger number of rows are not tried: such an event has no price here."""


def has_own_curve(event: DiscreteGaussian) -> bool:
    """Whether brute force prices this event: below MIN_SIGMA in any case, up to EXACT_BELOW if it can."""
    return event.sigma < (EXACT_BELOW if event.sensitivity <= MAX_ROWS else MIN_SIGMA)


def small_noise_atoms(sigma: float, sensitivity: int) -> Atoms:
    """The dominating pair of one marginal, symmetric, on the lattice of its own losses; Unpriceable for many rows."""
    if sensitivity > MAX_ROWS:
        raise Unpriceable(f"noise below 1 for {sensitivity} rows per unit has no price but zCDP")
    candidates = [_moved(sigma, parts) for parts in partitions(sensitivity)]
    highest = max(len(atoms.masses) + atoms.lowest for atoms in candidates)

    def profile(epsilons: Floats) -> Floats:
        return np.asarray(np.max([atoms.deltas(epsilons) for atoms in candidates], axis=0))

    return connect_dots(profile, profile, candidates[0].step, highest)


def partitions(total: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """All ways to write `total` as a sum of positive parts, largest first."""
    if total == 0:
        yield ()
        return
    for part in range(min(total, largest or total), 0, -1):
        for rest in partitions(total - part, part):
            yield (part, *rest)


def _moved(sigma: float, parts: tuple[int, ...]) -> Atoms:
    """The exact losses when each listed cell is moved by its part, on the lattice 1 / (2 sigma**2)."""
    reach = math.ceil(12 * sigma) + 1  # beyond it the noise has mass below 1e-31
    x = np.arange(-reach, reach + 1)
    noise = np.exp(-(x**2) / (2 * sigma**2))
    noise /= noise.sum()
    lowest, masses = 0, np.ones(1)
    for j in parts:
        spaced = np.zeros(2 * j * (2 * reach) + 1)
        spaced[:: 2 * j] = noise[::-1]
        masses = np.convolve(masses, spaced)
        lowest += j * j - 2 * j * reach
    return Atoms(1 / (2 * sigma**2), lowest, masses, 0.0)
