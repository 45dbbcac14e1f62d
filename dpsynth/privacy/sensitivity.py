"""How far one unit moves each kind of answer, and what noise a share of the budget buys. Once, here.

Neighbours differ by one unit, which holds at most ``k = rows_per_unit`` rows.

1. One marginal moves by an integer vector of L1 norm at most k, and of L2 norm at most k: all k rows may
   fall into one cell (k, not sqrt k).
2. ``m`` marginals at one sigma move by at most k * sqrt(m) in L2.
3. An L1-error score |exact - estimate|_1 moves by at most k, times its largest weight (triangle inequality).
4. A count of units moves by 1; one unit moves at most k of the numbers of units that have each value.
5. A sum of clipped gradients moves by at most the clipping bound, which is one unit's (`sgd.py`).

The currency is zCDP (Bun and Steinke 2016): the discrete Gaussian costs k**2 / (2 sigma**2) for each
marginal (Canonne, Kamath and Steinke 2020); an epsilon-bounded-range choice costs epsilon**2 / 8 (Cesar and
Rogers 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from dpsynth.budget import Cost
from dpsynth.privacy.events import BoundedRange, Composed, DiscreteGaussian

SHORT_DIGITS = 6
"""Noise scales and epsilons are rounded to this many digits, to the private side: short, safe to re-price."""


def marginal_l1(rows_per_unit: int) -> int:
    """Line 1: the largest L1 (and L2) movement of one marginal, in rows."""
    return _rows(rows_per_unit)


def marginals_l2(rows_per_unit: int, marginals: int) -> float:
    """Line 2: the largest joint L2 movement of `marginals` marginals, in rows."""
    return _rows(rows_per_unit) * math.sqrt(marginals)


def l1_score_sensitivity(rows_per_unit: int, largest_weight: int = 1) -> int:
    """Line 3: the largest movement of a weighted L1-error score."""
    return _rows(rows_per_unit) * largest_weight


UNIT_COUNT = 1
"""Line 4: one unit more or less changes a number of units by this."""


def values_of_a_unit(rows_per_unit: int) -> int:
    """Line 4: how many values of one column a unit has at most, one in each of its rows."""
    return _rows(rows_per_unit)


def gaussian_sigma(cost: Cost, rows_per_unit: int, marginals: int) -> float:
    """The noise scale at which `marginals` marginals together cost at most `cost`; rounded up."""
    return _round_up(marginals_l2(rows_per_unit, marginals) / math.sqrt(2 * cost.rho))


def sigmas(cost: Cost, rows_per_unit: int, weights: Sequence[float]) -> list[float]:
    """One noise scale per marginal; marginal i gets the share weights[i] / sum(weights) of `cost`; rounded
    up to a short number."""
    total = math.fsum(weights)
    if not weights or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise ValueError("weights must be positive and finite, at least one")
    return [gaussian_sigma(cost.share(weight / total), rows_per_unit, 1) for weight in weights]


def measure_event(cost: Cost, rows_per_unit: int, weights: Sequence[float]) -> DiscreteGaussian | Composed:
    """The event of measuring one marginal per weight: those with the same noise scale are one entry with a
    count."""
    counts: dict[float, int] = {}
    for sigma in sigmas(cost, rows_per_unit, weights):
        counts[sigma] = counts.get(sigma, 0) + 1
    k = marginal_l1(rows_per_unit)
    parts = tuple(DiscreteGaussian(sigma, k, count) for sigma, count in counts.items())
    return parts[0] if len(parts) == 1 else Composed(parts)


def select_event(cost: Cost) -> BoundedRange:
    """One private choice that costs at most `cost`: epsilon = sqrt(8 rho), rounded down."""
    return BoundedRange(_round_down(math.sqrt(8 * cost.rho)))


def sgd_sigma(cost: Cost, rate: float, steps: int) -> float:
    """Line 5: the noise of each of `steps` sums over Poisson samples, in clipping bounds; rounded up.

    ``mu**2 = rate**2 steps (exp(1 / sigma**2) - 1)``, their limit for many steps (Bu, Dong, Long and Su 2020), and
    ``steps / sigma**2`` without sampling. It turns a share into a scale; the price is that of the event (PLD).
    """
    if rate == 1:
        return _round_up(math.sqrt(steps / (2 * cost.rho)))
    return _round_up(1 / math.sqrt(math.log1p(2 * cost.rho / (rate**2 * steps))))


def _rows(rows_per_unit: int) -> int:
    if isinstance(rows_per_unit, bool) or not isinstance(rows_per_unit, int) or rows_per_unit < 1:
        raise ValueError("rows_per_unit is a whole number of at least 1")
    return rows_per_unit


def _round_up(value: float) -> float:
    return float(Context(prec=SHORT_DIGITS, rounding=ROUND_CEILING).create_decimal_from_float(value))


def _round_down(value: float) -> float:
    return float(Context(prec=SHORT_DIGITS, rounding=ROUND_FLOOR).create_decimal_from_float(value))
