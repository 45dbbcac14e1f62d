"""A lower bound on epsilon from one output (Steinke, Nasr and Jagielski 2023, "Privacy auditing with one
(1) training run", theorem 5.2 and its appendix for delta > 0).

Each of `m` units was in the training data by its own fair coin; the attacker sees the output and names `r` of
them "in" or "out". If the generator is (epsilon, delta)-DP for adding or removing one unit, then

    P[at least v right] <= P[W >= v] + 2 m delta max_i P[v > W >= v - i] / i,   W ~ Binomial(r, q),

with ``q = 1 / (1 + exp(-epsilon))``. A coin that is not quite fair, with log odds within +-`bias`, only
shifts the log odds of a right guess: ``q = 1 / (1 + exp(-epsilon - bias))``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

_LARGEST = 60.0  # a bound beyond this epsilon is of no use and costs precision


def p_value(m: int, r: int, v: int, epsilon: float, delta: float, bias: float = 0.0) -> float:
    """Largest probability, over all (epsilon, delta)-DP generators, of at least `v` right among `r` guesses.

    `m` units with a coin of their own, ``0 <= v <= r <= m``. Errors: ValueError outside these ranges.
    """
    if not 0 <= v <= r <= m:
        raise ValueError("needs 0 <= right guesses <= guesses <= units")
    if not (epsilon >= 0 and 0 <= delta <= 1 and bias >= 0):
        raise ValueError("needs epsilon >= 0, 0 <= delta <= 1, bias >= 0")
    if v == 0:
        return 1.0
    q = 1.0 / (1.0 + math.exp(-epsilon - bias))
    tail = float(special.betainc(v, r - v + 1, q))  # of v or more
    if delta == 0.0:
        return min(1.0, tail)
    below = np.cumsum(_chances(np.arange(v - 1, -1, -1), r, q))  # P[v > W >= v - i], i = 1 .. v
    slope = float(np.max(below / np.arange(1, v + 1)))
    return min(1.0, tail + 2.0 * m * delta * slope)


def _chances(hits: NDArray[np.int64], trials: int, rate: float) -> NDArray[np.float64]:
    """Binomial probabilities of each number of hits."""
    ways = special.gammaln(trials + 1) - special.gammaln(hits + 1) - special.gammaln(trials - hits + 1)
    logs = ways + special.xlogy(hits, rate) + special.xlog1py(trials - hits, -rate)
    return np.asarray(np.exp(logs))


def epsilon_lower_bound(
    m: int, r: int, v: int, delta: float, confidence: float, bias: float = 0.0, tolerance: float = 1e-3
) -> float:
    """Largest epsilon that this many right guesses refute, at the given confidence; 0 when none.

    Rounded down to a multiple of about `tolerance`, so that the bound stays one.
    """
    alpha = 1.0 - confidence
    if p_value(m, r, v, 0.0, delta, bias) > alpha:
        return 0.0
    low, high = 0.0, 1.0
    while high < _LARGEST and p_value(m, r, v, high, delta, bias) <= alpha:
        low, high = high, 2.0 * high
    while high - low > tolerance:
        middle = (low + high) / 2.0
        if p_value(m, r, v, middle, delta, bias) <= alpha:
            low = middle
        else:
            high = middle
    return low
