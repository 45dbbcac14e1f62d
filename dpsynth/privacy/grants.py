"""Many marginals measured at once behind a Gaussian filter, their noise chosen from released answers.

How many marginals there are and how they share the budget may depend on what was released before, so a fixed list of
events cannot be planned. What is planned is a grant, a bound on the sum of mu^2; here are the largest shares that fit it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dpsynth.budget import Cost
from dpsynth.privacy import sensitivity
from dpsynth.privacy.gaussian import MIN_SIGMA
from dpsynth.privacy.gdp import event_mu

CLOSE = 1e-6
"""What is left unspent, relatively, so that the rounding of noise scales cannot pass the grant."""


def fitting_costs(mu_squared: float, rows_per_unit: int, weights: Sequence[float]) -> list[tuple[float, ...]]:
    """rho of each marginal, in proportion to `weights`, all together `mu_squared` less at most a few `CLOSE` of it.

    The discrete Gaussian of scale sigma takes ``mu^2 = (k / sigma)^2 (1 + 1 / (24 sigma^2))^2`` (about), so that the
    shares are those of the plain Gaussian but for that factor. No noise is below `MIN_SIGMA` rows, for which there is no
    price: a marginal that may cost more is to be measured several times, and its rho comes in as many equal parts.
    """
    if not mu_squared > 0:
        raise ValueError("nothing is left of the grant")
    most = (rows_per_unit / MIN_SIGMA) ** 2 / 2 * (1 - CLOSE)
    total = math.fsum(weights)
    rho = mu_squared / 2
    while True:
        parts = [_parts(rho * weight / total, most) for weight in weights]
        flat = [part for own in parts for part in own]
        event = sensitivity.measure_event(Cost(math.fsum(flat)), rows_per_unit, flat)
        price = event_mu(event) ** 2
        if price <= mu_squared:
            return parts
        rho *= mu_squared / price * (1 - CLOSE)


def _parts(rho: float, most: float) -> tuple[float, ...]:
    times = max(1, math.ceil(rho / most))
    return (rho / times,) * times
