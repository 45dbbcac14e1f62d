"""The inverse of a certificate: the largest cost whose plan keeps a promise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dpsynth.budget import Budget, Cost
from dpsynth.errors import BudgetError
from dpsynth.privacy.events import Event
from dpsynth.privacy.zcdp import largest_rho

Plan = Callable[[Cost], Sequence[Event]]
SMALLEST, LARGEST = 1e-14, 1e7
"""rho outside this range means that the plan does not depend on its cost, or cannot be paid at all."""
CLOSE = 2e-4
"""The search ends when epsilon is at most this far (relatively) below the promise."""


def calibrate_with(price: Callable[[Sequence[Event], float], float], plan: Plan, budget: Budget) -> Cost:
    """The largest cost with ``price(plan(cost), budget.delta) <= budget.epsilon``, to within `CLOSE` of
    epsilon.

    `plan` must spend more when it may cost more. The result itself keeps the promise: it was priced, not
    interpolated. BudgetError B303 when not even the smallest cost fits (fixed charges are too large), B304
    when every cost does.
    """

    def excess(rho: float) -> float:
        epsilon = price(plan(Cost(rho)), budget.delta)
        return math.log(max(epsilon, 1e-300) / budget.epsilon) if math.isfinite(epsilon) else 10.0

    low, high, below, above = _bracket(excess, largest_rho(budget.epsilon, budget.delta))
    for _ in range(60):
        if below >= -CLOSE or high / low < 1 + 1e-7:
            break
        # aim a little below the promise, by linear interpolation in logarithms, kept inside the bracket
        share = (-CLOSE / 2 - below) / (above - below)
        rho = low * (high / low) ** min(max(share, 0.02), 0.98)
        value = excess(rho)
        if value <= 0:
            low, below = rho, value
        else:
            high, above = rho, value
    return Cost(low)


def _bracket(excess: Callable[[float], float], start: float) -> tuple[float, float, float, float]:
    """Costs (fits, does not fit) and how far their epsilons are from the promise, in logarithms."""
    low = high = start
    below = above = excess(start)
    while below > 0:
        high, above = low, below
        low /= math.exp(min(max(2.2 * below, 0.02), 5.0))
        if low < SMALLEST:
            raise BudgetError(
                "B303", "the promise does not even pay for the fixed charges", "raise epsilon or drop some"
            )
        below = excess(low)
    while above <= 0:
        low, below = high, above
        high *= math.exp(min(max(-2.2 * above, 0.02), 5.0))
        if high > LARGEST:
            raise BudgetError(
                "B304", "the plan spends the same whatever it may cost", "this is an error in the method"
            )
        above = excess(high)
    return low, high, below, above
