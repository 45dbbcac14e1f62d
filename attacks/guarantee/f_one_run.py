"""A lower bound on mu from one output: the f-DP version of the one-run audit (Mahloujifar, Melis and Chaudhuri 2025).

The game is that of `one_run`: `m` canaries, each in by its own fair coin; the attacker makes `r` guesses, "in" or "out".
Let p_i be the probability of exactly i right guesses. Flipping one canary's coin changes one guess from right to wrong, so
for an f-DP generator (f symmetric, neighbours: one canary added or removed) and every set of outcomes, here the tails,

    sum_{i >= t} i p_i / m  <=  g( sum_{i >= t} (r - i + 1) p_{i-1} / m ),     g(x) = 1 - f(x),

by averaging over the canaries (g is concave). For mu-GDP g(x) = Phi(Phi^-1(x) + mu). To have a tail of tau at v, the
probabilities below v must at least follow from these inequalities one after the other; when they need more than 1 in
all, no mu-GDP generator makes v right guesses with probability tau. Unlike the (epsilon, delta) bound, which gives
each guess its worst case, this one uses the whole curve.
"""

from __future__ import annotations

from scipy import special

_LARGEST = 40.0
_STEPS = 60


def p_value(m: int, r: int, v: int, mu: float) -> float:
    """Largest probability, over all mu-GDP generators, of at least `v` right among `r` guesses about `m` canaries.

    Rounded up by the last bisection step. ValueError unless 0 <= v <= r <= m and mu >= 0.
    """
    _check(m, r, v, mu)
    if v == 0:
        return 1.0
    if not _is_refuted(m, r, v, mu, 1.0):
        return 1.0
    low, high = -1.0, 0.0  # log10
    while low > -300 and _is_refuted(m, r, v, mu, 10.0**low):
        low, high = 2 * low, low
    if low <= -300:
        return float(10.0**high)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _is_refuted(m, r, v, mu, 10.0**middle):
            high = middle
        else:
            low = middle
        if high - low < 1e-6:
            break
    return float(min(1.0, 10.0**high))


def mu_lower_bound(m: int, r: int, v: int, confidence: float, tolerance: float = 1e-4) -> float:
    """Largest mu that this many right guesses refute, at the given confidence; 0 when none. Rounded down."""
    _check(m, r, v, 0.0)
    alpha = 1.0 - confidence
    if v == 0 or not _is_refuted(m, r, v, 0.0, alpha):
        return 0.0
    low, high = 0.0, 0.25
    while high < _LARGEST and _is_refuted(m, r, v, high, alpha):
        low, high = high, 2.0 * high
    while high - low > tolerance:
        middle = (low + high) / 2.0
        if _is_refuted(m, r, v, middle, alpha):
            low = middle
        else:
            high = middle
    return low


def _check(m: int, r: int, v: int, mu: float) -> None:
    if not 0 <= v <= r <= m or m == 0:
        raise ValueError("needs 0 <= right guesses <= guesses <= canaries, at least one")
    if not mu >= 0:
        raise ValueError("needs mu >= 0")


def _is_refuted(m: int, r: int, v: int, mu: float, tail: float) -> bool:
    """Whether no mu-GDP generator lets `v` or more guesses be right with probability `tail`.

    right[i] and wrong[i] are sum_{j >= i} j p_j / m and sum_{j >= i} (r - j) p_j / m. All of the tail at exactly v right
    guesses is what asks for least below. Together they are r / m times the probability of i or more.
    """
    right, wrong = tail * v / m, tail * (r - v) / m
    for i in range(v - 1, -1, -1):
        needed = float(special.ndtr(special.ndtri(min(right, 1.0)) - mu))
        if needed <= wrong:
            return False  # what is there suffices from here down to zero
        right += i / (r - i) * (needed - wrong)
        wrong = needed
        if right + wrong > r / m:
            return True
    return False
