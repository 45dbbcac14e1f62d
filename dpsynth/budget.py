"""Budget (the promise) and Cost (the currency mechanisms split). Arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpsynth.errors import BudgetError

MIN_EPSILON, MAX_EPSILON = 1e-3, 100.0
MIN_DELTA, MAX_DELTA = 1e-15, 1e-2


@dataclass(frozen=True)
class Budget:
    """A promise: (epsilon, delta)-differential privacy for one unit added or removed.

    Raises BudgetError for what is no promise (delta 0, epsilon 1e6) or cannot give usable rows.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        _check_number("epsilon", self.epsilon)
        _check_number("delta", self.delta)
        if not self.epsilon > 0:
            fix = "epsilon must be above 0; common choices are 0.1 to 10"
            raise BudgetError("B101", f"epsilon is {self.epsilon:g}", fix)
        if self.epsilon < MIN_EPSILON:
            raise BudgetError(
                "B102", f"epsilon {self.epsilon:g} leaves noise only", f"use at least {MIN_EPSILON:g}"
            )
        if self.epsilon > MAX_EPSILON:
            raise BudgetError(
                "B103", f"epsilon {self.epsilon:g} protects nobody", f"use at most {MAX_EPSILON:g}"
            )
        if not MIN_DELTA <= self.delta <= MAX_DELTA:
            raise BudgetError(
                "B104",
                f"delta is {self.delta:g}",
                f"delta must lie in [{MIN_DELTA:g}, {MAX_DELTA:g}] and well below 1 / (number of units)",
            )


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BudgetError(
            "B105", f"{name} is not a finite number", f"write {name} as a plain number such as 1.0 or 1.0e-9"
        )


@dataclass(frozen=True)
class Cost:
    """What a stage may spend, as a zCDP parameter rho (Bun and Steinke 2016); stages add up."""

    rho: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rho) and self.rho > 0):
            raise ValueError("rho must be positive and finite")

    def share(self, fraction: float) -> Cost:
        """`fraction` of it, in (0, 1]."""
        if not 0 < fraction <= 1:
            raise ValueError("a share lies in (0, 1]")
        return Cost(self.rho * fraction)
