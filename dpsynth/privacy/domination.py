"""The least Gaussian curve above the whole privacy curve of a run: how runs compose across the ledger.

Wanted: the least mu with delta(epsilon) <= (1 - d0) delta_mu(epsilon) + d0 for every epsilon, positive or
negative. The right side is the profile of a pair that gives all away with probability d0 and is mu-GDP
otherwise.

How it is found: `gdp.least_mu`. Across runs, which people choose after seeing results, the ledger is a Gaussian
filter over these mu (Smith and Thakurta 2022) and adds up the d0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dpsynth.errors import BudgetError
from dpsynth.privacy.events import DiscreteGaussian, Event, GdpGrant, ZcdpGrant, flatten
from dpsynth.privacy.gaussian import Floats
from dpsynth.privacy.gdp import event_mu, least_mu
from dpsynth.privacy.lattice import Profile
from dpsynth.privacy.pld import Loss, loss_of
from dpsynth.privacy.small_noise import has_own_curve
from dpsynth.privacy.zcdp import Unpriceable, event_rho, zcdp_deltas

GRID = 600
"""Epsilons per direction."""
MAX_EPSILON = 600.0
"""Beyond it exp(epsilon) has no float to live in."""


def dominating_gaussian(events: Sequence[Event], d0: float) -> float:
    """The least mu (to about 0.01 %, rounded up) whose Gaussian curve, with `d0` added, lies above the run's
    at every epsilon; where the Gaussian prices of the events add up to less, that.

    BudgetError B305 when d0 is smaller than the additive deltas of the events (and the mass cut off by the
    lattice).
    """
    parts = list(flatten(events))
    summed = _summed_mu(events)
    if all(_closed_form(part) for part in parts):
        return summed
    grants = [part for part in parts if isinstance(part, ZcdpGrant)]
    others = [part for part in parts if not isinstance(part, ZcdpGrant)]
    if not grants:
        return min(_loss_mu(loss_of(others), d0), summed)
    granted = _zcdp_mu(math.fsum(event_rho(grant) for grant in grants), d0 / 2 if others else d0)
    return math.hypot(granted, dominating_gaussian(others, d0 / 2)) if others else granted


def _summed_mu(events: Sequence[Event]) -> float:
    try:
        return math.sqrt(math.fsum(event_mu(event) ** 2 for event in events))
    except Unpriceable:
        return math.inf


def _closed_form(event: Event) -> bool:
    return isinstance(event, GdpGrant) or (isinstance(event, DiscreteGaussian) and not has_own_curve(event))


def _loss_mu(loss: Loss, d0: float) -> float:
    rest = 1 - (1 - d0) / (1 - loss.failure)
    if rest <= 0:
        raise _too_small(d0)
    remove, add = loss.profiles()
    return _profile_mu(remove, add, rest, loss.spread, loss.remove.step)


def _zcdp_mu(rho: float, d0: float) -> float:
    def profile(epsilons: Floats) -> Floats:
        return zcdp_deltas(rho, epsilons)

    return _profile_mu(profile, profile, d0, math.sqrt(2 * rho))


def _profile_mu(
    forward: Profile, reverse: Profile, d0: float, spread: float, step: float = math.inf
) -> float:
    """`step`: the lattice of the losses; a profile is sooner known there than in between."""
    top = max(spread, 1e-9)
    while max(forward(np.array([top]))[0], reverse(np.array([top]))[0]) > d0:
        top *= 1.1
        if top > MAX_EPSILON:
            raise _too_small(d0)
    every = int(top / step / (GRID - 1))
    epsilons = step * np.arange(0, top / step + every, every) if every else np.linspace(0.0, top, GRID)
    ahead = forward(epsilons)
    return least_mu(epsilons, ahead, ahead if reverse is forward else reverse(epsilons), d0)


def _too_small(d0: float) -> BudgetError:
    return BudgetError(
        "B305",
        f"an additive delta of {d0:g} is too small for this run",
        "promise a larger delta, or spend less at once",
    )
