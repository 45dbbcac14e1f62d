"""The one-way marginals, with which every mechanism begins."""

from __future__ import annotations

import math

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.privacy import sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge

PURPOSE = "one-way marginals"

LEAST, MOST, AT_ONE, POWER = 0.08, 0.5, 0.1, 0.163
"""Limits of `share`, its value at rho 1 for a row, and how it falls with rho."""


def weights(domain: Domain) -> list[float]:
    """Shares of rho in proportion to cells^(2/3).

    The L1 error of a marginal grows as cells * sigma, sigma as 1 / sqrt(rho): at a given total rho the sum
    of errors is least when each rho is proportional to cells^(2/3).
    """
    return [size ** (2 / 3) for size in domain.sizes]


def share(cost: Cost, rows_per_unit: int) -> float:
    """The part of the whole cost that one-way marginals should get: a tenth where there is plenty, up to a half.

    A straight line in logarithms through what was best at epsilon 0.1, 1 and 10 (.4, .2, .1).
    """
    return min(MOST, max(LEAST, AT_ONE * math.pow(cost.rho / rows_per_unit**2, -POWER)))


def charge(domain: Domain, cost: Cost, rows_per_unit: int) -> Charge:
    return Charge(PURPOSE, sensitivity.measure_event(cost, rows_per_unit, weights(domain)))


def noise(domain: Domain, cost: Cost, rows_per_unit: int) -> dict[Clique, float]:
    """The noise scale of each one-way marginal, in rows."""
    scales = sensitivity.sigmas(cost, rows_per_unit, weights(domain))
    return {(a,): sigma for a, sigma in zip(domain.attributes, scales, strict=True)}


def measure(curator: Curator, cost: Cost) -> list[Measurement]:
    """One noisy marginal per attribute, in the domain's order; the shares are those of the planned sizes."""
    cliques = [(a,) for a in curator.domain.attributes]
    return curator.measure(cliques, cost, PURPOSE, weights(curator.planned))
