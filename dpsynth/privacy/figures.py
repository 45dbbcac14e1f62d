"""Figures about real rows that may be published, because they are paid for: how far synthetic rows lie from them.

For each column the curator answers a noisy L1 distance between the exact counts of the training rows and the synthetic
shares times the released number of rows (`Curator.errors`): an integer that one unit moves by at most
`rows_per_unit` (triangle inequality), so m columns at one sigma are m marginals in price. Everything else here is
arithmetic on that answer. Members and held-out units are alike: a unit is among the counted rows or it is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Budget, Cost
from dpsynth.domain import Clique, Domain
from dpsynth.privacy import sensitivity
from dpsynth.privacy.accounting import calibrate
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge, Event

PURPOSE = "published column errors"
Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Purchase:
    """What is bought: the error of every column, for `cost` in all."""

    columns: tuple[str, ...]
    cost: Cost
    rows_per_unit: int

    @classmethod
    def planned(cls, domain: Domain, budget: Budget, rows_per_unit: int) -> Purchase:
        """The largest purchase that keeps `budget` by itself. Reads nothing."""
        columns = domain.attributes
        ones = [1.0] * len(columns)

        def events(cost: Cost) -> list[Event]:
            return [sensitivity.measure_event(cost, rows_per_unit, ones)]

        return cls(columns, calibrate(events, budget), rows_per_unit)

    @property
    def charge(self) -> Charge:
        ones = [1.0] * len(self.columns)
        return Charge(PURPOSE, sensitivity.measure_event(self.cost, self.rows_per_unit, ones))

    @property
    def sigma(self) -> float:
        """Noise scale of each distance, in rows."""
        return sensitivity.sigmas(self.cost, self.rows_per_unit, [1.0] * len(self.columns))[0]


def buy(
    curator: Curator, purchase: Purchase, shares: Mapping[str, NDArray[np.float64]], total: float
) -> list[Json]:
    """The paid figures, as privacy.json repeats them.

    `shares[column]`: share of the synthetic rows in each cell; `total`: the released number of real rows. Raises
    BudgetError, before anything is counted, when the charge was not reserved.
    """
    # a figure is checked against the whole number that stands beside it: of few rows its fraction would show
    total = float(max(1, round(total)))
    estimates: dict[Clique, NDArray[np.float64]] = {
        (column,): shares[column] * total for column in purchase.columns
    }
    noisy = curator.errors(estimates, purchase.cost, PURPOSE)
    spread = purchase.sigma / (2 * total)
    by_column = [
        {"column": column, **_figure(noisy[(column,)] / (2 * total), spread)} for column in purchase.columns
    ]
    mean = math.fsum(noisy.values()) / (2 * total * len(noisy))
    return [
        {
            "name": "error of the columns",
            "words": "share of real rows that lie in another cell of the column than the synthetic rows say (total "
            "variation), averaged over the columns; measured on the training rows with noise, and paid for",
            **_figure(mean, spread / math.sqrt(len(noisy))),
            "sigma_rows": purchase.sigma,
            "rows": round(total),
            "by_column": by_column,
        }
    ]


def check(figures: Sequence[Mapping[str, Any]], charges: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """ValueError unless every published figure has its charge, with that noise, for that many columns."""
    paid = [event for purpose, event in charges if purpose == PURPOSE]
    if len(figures) > len(paid):
        raise ValueError("a figure that nobody paid for")
    for figure, event in zip(figures, paid, strict=False):
        columns, sigma, rows = figure["by_column"], figure["sigma_rows"], figure["rows"]
        spread = sigma / (2 * rows)
        if event["sigma"] != sigma or event["count"] != len(columns):
            raise ValueError("a figure with other noise than was paid for")
        wanted = [spread / math.sqrt(len(columns)), *[spread] * len(columns)]
        stated = [one["standard_error"] for one in (figure, *columns)]
        if not np.allclose(stated, wanted, rtol=1e-3):
            raise ValueError("a figure that claims to be more exact than it is")


def _figure(value: float, spread: float) -> Json:
    low, high = value - Z95 * spread, value + Z95 * spread
    return {
        "value": _short(min(1.0, max(0.0, value))),
        "low": _short(min(1.0, max(0.0, low))),
        "high": _short(min(1.0, max(0.0, high))),
        "standard_error": _short(spread),
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")
