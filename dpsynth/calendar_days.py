"""Dates as numbers of days since 1970-01-01: their months, days of the month, and completed years."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_DAYS = 3_000_000
"""Days from 1970 within which a number is taken for a date."""


def months_of(days: NDArray[np.float64]) -> NDArray[np.int64]:
    """Months since 1970-01 of dates in days; 0 for what is no date."""
    return np.asarray(dates_of(days).astype("datetime64[M]").astype(np.int64))


def dates_of(days: NDArray[np.float64]) -> NDArray[np.datetime64]:
    known = np.where(np.abs(days) < MOST_DAYS, days, 0.0)
    return np.asarray(np.floor(known).astype(np.int64).astype("datetime64[D]"))


def day_of(days: NDArray[np.float64]) -> NDArray[Any]:
    dates = dates_of(days)
    return np.asarray((dates - dates.astype("datetime64[M]")).astype(np.int64) + 1)


def years_between(begin: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[Any]:
    """Completed years from one date to a later one (negative the other way round)."""
    months = months_of(end) - months_of(begin) - (day_of(end) < day_of(begin))
    return np.asarray(np.floor_divide(months, 12))


CALENDAR: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "year": (1, lambda days: np.floor_divide(months_of(days), 12) + 1970),
    "month": (1, lambda days: months_of(days) % 12 + 1),
    "day": (1, day_of),
    "weekday": (1, lambda days: (dates_of(days).astype(np.int64) + 3) % 7 + 1),
    "years": (2, years_between),
}
"""What formulas may call: how many arguments, and the function of arrays of days."""
