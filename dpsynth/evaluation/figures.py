"""A number that never travels without its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

Json = dict[str, object]


@dataclass(frozen=True)
class Figure:
    """A value with a 95 % interval; what the interval ranges over is said by whoever holds it."""

    value: float
    low: float
    high: float

    @classmethod
    def around(
        cls, value: float, draws: ArrayLike, floor: float = -math.inf, ceiling: float = math.inf
    ) -> Figure:
        """`value` +- 1.96 standard deviations of the bootstrap `draws`, cut to [floor, ceiling].

        The draws give the width only. Resampling adds noise, so that a distance between two tables is larger
        between their resamples: a percentile interval would sit above the value that it belongs to.
        """
        spread = Z95 * float(np.std(np.asarray(draws, dtype=float), ddof=1))
        return cls(value, max(floor, value - spread), min(ceiling, value + spread))

    @classmethod
    def of_draws(cls, draws: ArrayLike, floor: float = -math.inf, ceiling: float = math.inf) -> Figure:
        """The mean of repeated draws, and where 95 % of single draws lie (normal approximation, cut to
        [floor, ceiling])."""
        values = np.asarray(draws, dtype=float)
        return cls.around(float(values.mean()), values, floor, ceiling)

    def as_json(self) -> Json:
        return {"value": rounded(self.value), "low": rounded(self.low), "high": rounded(self.high)}


def rounded(value: float, digits: int = 6) -> float | None:
    """`value` to `digits` significant digits; None where there is no finite number (JSON has no NaN)."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
