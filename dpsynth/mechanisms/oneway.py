"""The one-way marginals, with which every mechanism begins."""

from __future__ import annotations

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.privacy import sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge

PURPOSE = "one-way marginals"


def weights(domain: Domain) -> list[float]:
    """Shares of rho in proportion to cells^(2/3).

    The L1 error of a marginal grows as cells * sigma, sigma as 1 / sqrt(rho): at a given total rho the sum
    of errors is least when each rho is proportional to cells^(2/3).
    """
    return [size ** (2 / 3) for size in domain.sizes]


def charge(domain: Domain, cost: Cost, rows_per_unit: int) -> Charge:
    return Charge(PURPOSE, sensitivity.measure_event(cost, rows_per_unit, weights(domain)))


def noise(domain: Domain, cost: Cost, rows_per_unit: int) -> dict[Clique, float]:
    """The noise scale of each one-way marginal, in rows."""
    scales = sensitivity.sigmas(cost, rows_per_unit, weights(domain))
    return {(a,): sigma for a, sigma in zip(domain.attributes, scales, strict=True)}


def measure(curator: Curator, cost: Cost) -> list[Measurement]:
    """One noisy marginal per attribute, in the domain's order."""
    domain = curator.domain
    return curator.measure([(a,) for a in domain.attributes], cost, PURPOSE, weights(domain))
