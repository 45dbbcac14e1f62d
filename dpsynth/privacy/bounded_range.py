"""Private choices priced together: the optimal adaptive composition of bounded-range mechanisms.

One epsilon-bounded-range choice has privacy losses in some interval [t - epsilon, t], 0 <= t <= epsilon,
known to nobody beforehand. Suppose V(x) bounds delta at level x of all that follows. As V is convex in
exp(x), the worst such loss is two-point, at t with probability p(t) = (1 - exp(t - epsilon)) / (1 -
exp(-epsilon)) and at t - epsilon otherwise, so that with the choice in front

    V'(x) = max over t of  p(t) V(x - t) + (1 - p(t)) V(x - t + epsilon).

This is the recursion of Dong, Durfee and Rogers (2020) for adaptive choices. Started from V(x) = max(0, 1 -
exp(x)) it ends in the profile of all choices together. That profile is convex in exp(x) again, hence has a
dominating pair (Zhu, Dong and Wang 2022, lemma 9), which composes with everything else in the run, whatever
the order. Started from the profile of what is measured *after* the choices it is tighter: `choices_then`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dpsynth.privacy.gaussian import Floats, gaussian_deltas

POINTS = 128
"""Lattice points in the widest range of a group: rounding costs about 2 / POINTS of the choices' mu**2."""


def choices_profile(epsilons: Sequence[float]) -> tuple[float, Floats]:
    """The joint profile of bounded-range choices: (step, deltas at 0, step, 2 step, ...), 0 after the end."""
    step = max(epsilons) / POINTS
    values: Floats = np.zeros(1)
    for epsilon in sorted(epsilons):
        cells = _cells(epsilon, step)
        values = _choose(np.concatenate([values, np.zeros(cells)]), step, cells)
    return step, values


def choices_then(epsilons: Sequence[float], mu: float) -> tuple[float, Floats]:
    """The joint profile of choices *followed* by a mu-GDP measurement whose mu is fixed before them.

    Deltas at 0, step, 2 step, ... up to where they vanish for all purposes (below 1e-30).
    """
    step = max(epsilons) / _points_beside(math.hypot(*epsilons) / mu)
    reach = sum(_cells(epsilon, step) for epsilon in epsilons) + math.ceil((mu * mu / 2 + 11.5 * mu) / step)
    values = gaussian_deltas(mu, step * np.arange(reach + 1, dtype=np.float64))
    for epsilon in sorted(epsilons):
        values = _choose(values, step, _cells(epsilon, step))
    return step, values


def _points_beside(ratio: float) -> int:
    """Lattice points in a range beside a Gaussian: as many as keep rounding below 0.03 % of the joint mu."""
    return math.ceil(min(max(16, 1024 * ratio**2), 256))


def _cells(epsilon: float, step: float) -> int:
    """The range in lattice steps, with one to spare: an interval [t - epsilon, t] with t between two
    lattice points lies in one that is a step wider and ends on the lattice."""
    return math.ceil(epsilon / step - 1e-9) + 1


def _choose(values: Floats, step: float, cells: int) -> Floats:
    """One step of the recursion at 0, step, 2 step, ...; above the lattice the profile is its last value.

    Who is the neighbour of whom makes no difference here: a loss at t or t - epsilon is one at epsilon - t or -t when
    the two are exchanged. So V(-x) = 1 - exp(-x) (1 - V(x)) before every step, and after it.
    """
    above = np.concatenate([values, np.full(cells, values[-1])])
    mirrored = -step * np.arange(cells, 0, -1, dtype=np.float64)
    padded = np.concatenate([np.exp(mirrored) * above[cells:0:-1] - np.expm1(mirrored), above])
    drop = padded[:-cells] - padded[cells:]  # V(x) - V(x + epsilon)
    best, tried = np.zeros_like(values), np.empty_like(values)
    size = len(values)
    for t in range(cells + 1):
        high = math.expm1(-step * (cells - t)) / math.expm1(-step * cells)
        np.multiply(drop[cells - t : cells - t + size], high, out=tried)
        np.add(tried, padded[2 * cells - t : 2 * cells - t + size], out=tried)
        np.maximum(best, tried, out=best)
    return best
