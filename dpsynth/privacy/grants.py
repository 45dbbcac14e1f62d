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


def fitting_costs(mu_squared: float, rows_per_unit: int, weights: Sequence[float]) -> list[float]:
    """rho of each marginal, in proportion to `weights`, all together at most `mu_squared`.

    The discrete Gaussian of scale sigma takes ``mu^2 = (k / sigma)^2 (1 + 1 / (24 sigma^2))^2`` (about), so that the
    shares are those of the plain Gaussian but for that factor. No noise is below `MIN_SIGMA` rows, for which there is no
    price: what that leaves over goes to nobody.
    """
    if not mu_squared > 0:
        raise ValueError("nothing is left of the grant")
    total = math.fsum(weights)
    most = (rows_per_unit / MIN_SIGMA) ** 2 / 2 * (1 - CLOSE)
    rho = mu_squared / 2
    while True:
        shares = [min(rho * weight / total, most) for weight in weights]
        event = sensitivity.measure_event(Cost(math.fsum(shares)), rows_per_unit, shares)
        price = event_mu(event) ** 2
        if price <= mu_squared:
            return shares
        rho *= mu_squared / price * (1 - CLOSE)
