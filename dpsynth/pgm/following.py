"""What a descent follows: what was measured, halfway to the same smoothed along an ordered column.

A measured table is what independent columns would give and a rest. Along an ordered column that rest mostly changes
slowly, and noise does not: it is smoothed there as in `denoising.py`, all columns of the table together. Rough structure
that noise hides is lost by it, so that the descent aims at the middle. Where it stops is decided by what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Domain
from dpsynth.pgm.denoising import smoothed
from dpsynth.pgm.problem import Target, independent_start

Floats = NDArray[np.float64]

SMOOTH = 0.5
"""How far towards the smoothed table."""

LEAST_CELLS = 4
"""Shorter orders are left as they are."""

MOST_CELLS = 1 << 18
"""So are larger tables: smoothing takes some fifty times their memory, and whoever can pay for them hardly sees noise."""


def followed(
    domain: Domain, targets: Sequence[Target], ordered: Mapping[str, int], total: float
) -> list[Floats]:
    """One table for each target, of its shape, in rows. `ordered`: how many first cells of an attribute are in order."""
    logs = independent_start(domain, targets, total)
    shares = {attribute: np.exp(table) / np.exp(table).sum() for (attribute,), table in logs.items()}
    return [_followed(target, shares, ordered, total) for target in targets]


def _followed(
    target: Target, shares: Mapping[str, Floats], ordered: Mapping[str, int], total: float
) -> Floats:
    """Along the longest order of two or more attributes whose cells have one noise."""
    lengths = [ordered.get(attribute, 0) for attribute in target.clique]
    axis = int(np.argmax(lengths))
    first, variance = lengths[axis], float(target.variance.flat[0])
    too_few_or_many = len(lengths) < 2 or first < LEAST_CELLS or target.values.size > MOST_CELLS
    if too_few_or_many or not np.allclose(target.variance, variance):
        return target.values
    independent = np.array(total)
    for attribute in target.clique:
        independent = np.multiply.outer(independent, shares[attribute])
    rest = np.moveaxis(target.values - independent, axis, 0)[:first]
    smooth = smoothed(rest.reshape(first, -1), np.sqrt(variance)).reshape(rest.shape)
    found = target.values.copy()
    np.moveaxis(found, axis, 0)[:first] += SMOOTH * (smooth - rest)
    return found
