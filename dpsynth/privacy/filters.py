"""The price of one step of an adaptive loop, which chooses each next step by looking at the answers so far.

A filter has one accountant, named when it is opened. It refuses the event that would pass its limit, before
anything is counted; what was spent behind it costs at most the limit, whatever was chosen: zCDP, sum of rho
(Feldman and Zrnic 2021; Whitehouse, Ramdas, Rogers and Wu 2023); Gaussian DP, sum of mu**2 (Smith and
Thakurta 2022; Koskela, Tobaben and Honkela 2023). The sums are kept where the grant is kept, in the
ledger's run; here are the terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from dpsynth.errors import BudgetError
from dpsynth.privacy import bounded_range
from dpsynth.privacy.domination import least_mu
from dpsynth.privacy.events import (
    BoundedRange,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    GdpGrant,
    PureDp,
)
from dpsynth.privacy.gaussian import MIN_SIGMA, bounded_range_mu, discrete_gaussian_mu, pure_mu
from dpsynth.privacy.zcdp import Unpriceable, event_rho, failure

NEGLIGIBLE = 1e-25
"""What the joint price of choices and their measurement leaves out of delta, where its table ends."""


def zcdp_rho(events: Sequence[Event]) -> float:
    """What the events cost a zCDP filter; BudgetError B306 for what has no price there."""
    try:
        if failure(events) > 0:
            raise Unpriceable("additive deltas are no part of zCDP")
        return math.fsum(event_rho(event) for event in events)
    except Unpriceable as reason:
        raise _no_price("zCDP", str(reason)) from None


def gdp_mu(events: Sequence[Event]) -> float:
    """What the events cost a Gaussian-DP filter: sqrt(sum of mu**2); BudgetError B306 for what has no
    price."""
    try:
        return math.sqrt(math.fsum(event_mu(event) ** 2 for event in events))
    except Unpriceable as reason:
        raise _no_price("GDP", str(reason)) from None


def event_mu(event: Event) -> float:
    """The Gaussian-DP price of one event; BudgetError B306 for what has none (DP-SGD, additive deltas,
    sigma below 1)."""
    match event:
        case DiscreteGaussian(sigma, k, count) if sigma >= MIN_SIGMA:
            return discrete_gaussian_mu(sigma, k) * math.sqrt(count)
        case BoundedRange(epsilon, count):
            return bounded_range_mu(epsilon) * math.sqrt(count)
        case DiscreteLaplace(scale, k, count):
            return pure_mu(k / scale) * math.sqrt(count)
        case PureDp(epsilon, count):
            return pure_mu(epsilon) * math.sqrt(count)
        case GdpGrant(mu):
            return mu
        case Composed(events):
            return min(math.sqrt(math.fsum(event_mu(part) ** 2 for part in events)), _round_mu(events))
        case _:
            raise Unpriceable(f"'{event.kind}' has no Gaussian price")


def _round_mu(events: tuple[Event, ...]) -> float:
    """The joint price of choices followed by Gaussian measurements, which is smaller than their sum; else
    infinite.

    The measurements' noise blurs the two-point losses of the choices, which alone are what makes their own
    mu large.
    """
    choices = [part for part in events if isinstance(part, BoundedRange)]
    measured = events[len(choices) :]
    if not choices or tuple(choices) != events[: len(choices)] or not measured:
        return math.inf
    if not all(isinstance(part, DiscreteGaussian) for part in measured):
        return math.inf
    mu = math.sqrt(math.fsum(event_mu(part) ** 2 for part in measured))
    return _choices_then_mu(tuple(e for part in choices for e in [part.epsilon] * part.count), mu)


@lru_cache(maxsize=4096)
def _choices_then_mu(epsilons: tuple[float, ...], mu: float) -> float:
    step, deltas = bounded_range.choices_then(epsilons, mu)
    return least_mu(step * np.arange(len(deltas), dtype=np.float64), deltas, deltas, NEGLIGIBLE)


def _no_price(name: str, reason: str) -> BudgetError:
    return BudgetError(
        "B306", f"a {name} filter cannot price this: {reason}", "reserve it outside the adaptive loop"
    )
