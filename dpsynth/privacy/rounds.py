"""Rounds of an adaptive loop: one private choice, then the measurement of what was chosen, for one price.

A loop runs inside a planned Gaussian-DP grant. A round is priced jointly (`gdp.event_mu` of the composed event): the
measurement's noise blurs the two-point losses of the choice, which alone are what makes its own mu large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpsynth.budget import Cost
from dpsynth.privacy import sensitivity
from dpsynth.privacy.events import Composed, DiscreteGaussian, GdpGrant
from dpsynth.privacy.gaussian import MIN_SIGMA
from dpsynth.privacy.gdp import event_mu

CLOSE = 1e-4
"""A round that spends what is left spends all but this share of it."""


@dataclass(frozen=True)
class Round:
    """What one round costs: `choice` and `counts` are shares of rho as `sensitivity` prices them."""

    choice: Cost
    counts: Cost

    @property
    def rho(self) -> float:
        return self.choice.rho + self.counts.rho

    def times(self, factor: float) -> Round:
        """The same shares of a larger or smaller cost."""
        return Round(Cost(self.choice.rho * factor), Cost(self.counts.rho * factor))

    def event(self, rows_per_unit: int) -> Composed:
        """The choice, then one marginal: what is charged."""
        choice = sensitivity.select_event(self.choice)
        return Composed((choice, DiscreteGaussian(self.sigma(rows_per_unit), rows_per_unit)))

    def sigma(self, rows_per_unit: int) -> float:
        """The noise scale of the measurement, in rows."""
        return sensitivity.sigmas(self.counts, rows_per_unit, [1.0])[0]

    def price(self, rows_per_unit: int) -> float:
        """What it takes from a Gaussian grant: the mu**2 of choice and measurement together."""
        return event_mu(self.event(rows_per_unit)) ** 2


def grant_event(cost: Cost) -> GdpGrant:
    """A grant for what `cost` pays of Gaussian noise: mu = sqrt(2 rho)."""
    return GdpGrant(math.sqrt(2 * cost.rho))


def round_of(total: Cost, choice_share: float) -> Round:
    """A round at a given rho; its noise is never smaller than a Gaussian grant can price."""
    return Round(total.share(choice_share), total.share(1 - choice_share))


def smallest_noise(rows_per_unit: int, choice_share: float) -> Round:
    """The largest round there is: below this noise (`MIN_SIGMA` rows) no Gaussian price is known."""
    rho = (rows_per_unit / MIN_SIGMA) ** 2 / 2 / (1 - choice_share)
    return round_of(Cost(rho * (1 - 1e-12)), choice_share)


def spending(mu_squared: float, choice_share: float, rows_per_unit: int) -> Round:
    """The round that takes `mu_squared` of a Gaussian grant, all but `CLOSE` of it, never more.

    With less noise than `smallest_noise` there is no price: then that one.
    """
    largest = smallest_noise(rows_per_unit, choice_share)
    rho = min(mu_squared / 2, largest.rho)
    while True:
        found = round_of(Cost(rho), choice_share)
        price = found.price(rows_per_unit)
        if price <= mu_squared and (rho >= largest.rho or price >= mu_squared * (1 - CLOSE)):
            return found
        rho = min(rho * mu_squared / price * (1 - CLOSE / 3), largest.rho)
