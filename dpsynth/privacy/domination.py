"""The least Gaussian curve above the whole privacy curve of a run: how runs compose across the ledger.

Wanted: the least mu with delta(epsilon) <= (1 - d0) delta_mu(epsilon) + d0 for every epsilon, positive or
negative. The right side is the profile of a pair that gives all away with probability d0 and is mu-GDP
otherwise.

The run's profile is evaluated at finitely many epsilons; the straight lines in between (in exp(epsilon))
lie above it. Line i is 1 - beta - alpha exp(epsilon): the vertex (alpha, beta) of a piecewise linear
trade-off function. The Gaussian's trade-off function is convex, so it lies below that of the run everywhere
as soon as it does at these vertices, which is a closed formula for mu. Negative epsilons are the positive
ones of the pair with its sides exchanged, so both directions are walked from 0 upwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from dpsynth.errors import BudgetError
from dpsynth.privacy.events import Composed, DiscreteGaussian, Event, GdpGrant, ZcdpGrant, flatten
from dpsynth.privacy.gaussian import Floats
from dpsynth.privacy.lattice import Profile
from dpsynth.privacy.pld import ROUNDING, Loss, loss_of
from dpsynth.privacy.small_noise import has_own_curve
from dpsynth.privacy.zcdp import event_rho, zcdp_deltas

GRID = 600
"""Epsilons per direction."""
MAX_EPSILON = 600.0
"""Beyond it exp(epsilon) has no float to live in."""


def dominating_gaussian(events: Sequence[Event], d0: float) -> float:
    """The least mu (to about 0.01 %, rounded up) whose Gaussian curve, with `d0` added, lies above the
    run's at every epsilon.

    BudgetError B305 when d0 is smaller than the additive deltas of the events (and the mass cut off by the
    lattice).
    """
    parts = list(flatten(events))
    if all(_closed_form(part) for part in parts):
        return loss_of(parts).mu
    grants = [part for part in parts if isinstance(part, ZcdpGrant)]
    others = [part for part in parts if not isinstance(part, ZcdpGrant)]
    if not others:
        return _zcdp_mu(event_rho(Composed(tuple(grants))), d0)
    if not grants:
        return _loss_mu(loss_of(others), d0)
    return math.hypot(
        _zcdp_mu(event_rho(Composed(tuple(grants))), d0 / 2), dominating_gaussian(others, d0 / 2)
    )


def least_mu(epsilons: Floats, forward: Floats, reverse: Floats, d0: float) -> float:
    """The least mu for profiles given at increasing `epsilons` from 0, of P, Q and of Q, P; infinite when
    there is none."""
    return max(_one_side(epsilons, forward, d0), _one_side(epsilons, reverse, d0)) * (1 + ROUNDING)


def _one_side(epsilons: Floats, deltas: Floats, d0: float) -> float:
    if deltas[-1] > d0:
        return math.inf
    levels = np.exp(epsilons)
    alpha = np.maximum(-np.diff(deltas) / np.diff(levels), 0.0)
    seen = deltas[:-1] + alpha * levels[:-1]  # 1 - beta
    hit = (seen - d0) / (1 - d0)
    bound = hit > 0
    if not bound.any():
        return 0.0
    if (alpha[bound] == 0).any() or (hit[bound] >= 1).any():
        return math.inf
    return float(np.max(special.ndtri(hit[bound]) - special.ndtri(np.minimum(alpha[bound] / (1 - d0), 1.0))))


def _closed_form(event: Event) -> bool:
    return isinstance(event, GdpGrant) or (isinstance(event, DiscreteGaussian) and not has_own_curve(event))


def _loss_mu(loss: Loss, d0: float) -> float:
    rest = 1 - (1 - d0) / (1 - loss.failure)
    if rest <= 0:
        raise _too_small(d0)
    remove, add = loss.profiles()
    return _profile_mu(remove, add, rest, loss.spread)


def _zcdp_mu(rho: float, d0: float) -> float:
    def profile(epsilons: Floats) -> Floats:
        return zcdp_deltas(rho, epsilons)

    return _profile_mu(profile, profile, d0, math.sqrt(2 * rho))


def _profile_mu(forward: Profile, reverse: Profile, d0: float, spread: float) -> float:
    top = max(spread, 1e-9)
    while max(forward(np.array([top]))[0], reverse(np.array([top]))[0]) > d0:
        top *= 1.1
        if top > MAX_EPSILON:
            raise _too_small(d0)
    epsilons = np.linspace(0.0, top, GRID)
    ahead = forward(epsilons)
    return least_mu(epsilons, ahead, ahead if reverse is forward else reverse(epsilons), d0)


def _too_small(d0: float) -> BudgetError:
    return BudgetError(
        "B305",
        f"an additive delta of {d0:g} is too small for this run",
        "promise a larger delta, or spend less at once",
    )
