"""Privacy losses by brute force: every output is listed, nothing is discretised. Slow, and obvious.

A law is (losses, probabilities under P). Outputs less likely than 1e-40 are left out: delta only falls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Law = tuple[Floats, Floats]


def noise_law(sigma: float, move: int) -> Law:
    """A cell with discrete Gaussian noise, moved by `move`: P has the noise at 0, Q at `move`."""
    reach = math.ceil(14 * sigma) + move
    x = np.arange(-reach, reach + 1)
    p = np.exp(-(x**2) / (2 * sigma**2))
    return (move**2 - 2 * move * x) / (2 * sigma**2), p / p.sum()


def laplace_law(scale: float, move: int) -> Law:
    """A cell with discrete Laplace noise, moved by `move`."""
    x = np.arange(-math.ceil(100 * scale) - move, math.ceil(100 * scale) + move + 1)
    p = np.exp(-np.abs(x) / scale)
    return (np.abs(x - move) - np.abs(x)) / scale, p / p.sum()


def response_law(epsilon: float) -> Law:
    """Randomised response."""
    p = 1 / (1 + math.exp(-epsilon))
    return np.array([-epsilon, epsilon]), np.array([1 - p, p])


def choice_law(epsilon: float, t: float) -> Law:
    """The two-point choice with losses t and t - epsilon."""
    p = math.expm1(t - epsilon) / math.expm1(-epsilon)
    return np.array([t - epsilon, t]), np.array([1 - p, p])


def together(laws: Sequence[Law]) -> Law:
    """The joint law of independent ones; equal losses (to 1e-10) are merged."""
    losses, p = np.zeros(1), np.ones(1)
    for more, q in laws:
        losses = np.add.outer(losses, more).ravel()
        p = np.multiply.outer(p, q).ravel()
        keep = p > 1e-40
        key, index = np.unique(np.rint(losses[keep] / 1e-10).astype(np.int64), return_inverse=True)
        losses, p = key * 1e-10, np.bincount(index, p[keep])
    return losses, p


def repeated(law: Law, count: int) -> Law:
    return together([law] * count)


def delta(law: Law, epsilon: float) -> float:
    losses, p = law
    above = losses > epsilon
    return float(-np.expm1(epsilon - losses[above]) @ p[above])


def epsilon(law: Law, at: float) -> float:
    """The smallest epsilon >= 0 with delta(epsilon) <= at, by bisection."""
    low, high = 0.0, float(law[0].max())
    if delta(law, low) <= at:
        return 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if delta(law, middle) > at else (low, middle)
    return high


def renyi(law: Law, order: float) -> float:
    """The Renyi divergence of P from Q."""
    losses, p = law
    top = float(losses.max()) * (order - 1)
    return (top + math.log(float(p @ np.exp((order - 1) * losses - top)))) / (order - 1)


def partitions(total: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """All ways to spread `total` rows over cells."""
    if total == 0:
        yield ()
    for part in range(min(total, largest or total), 0, -1):
        for rest in partitions(total - part, part):
            yield (part, *rest)


def moved(sigma: float, moves: Sequence[int]) -> Law:
    """A marginal whose cells move by `moves`."""
    return together([noise_law(sigma, move) for move in moves])


def grid_of(law: Law, points: int = 200) -> Floats:
    """Epsilons worth checking: a grid, and the kinks (thinned)."""
    kinks = law[0][law[0] > 0]
    thinned = kinks[:: max(1, len(kinks) // points)]
    return np.concatenate([np.linspace(0, float(law[0].max()), points), thinned])
