"""What epsilon at one delta does not say: the whole curve, and what it leaves to an attacker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from dpsynth.errors import BudgetError
from dpsynth.privacy.events import Event
from dpsynth.privacy.gaussian import Floats
from dpsynth.privacy.lattice import Profile
from dpsynth.privacy.pld import loss_of
from dpsynth.privacy.zcdp import Unpriceable, event_rho, failure, zcdp_deltas

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.1)
PRIORS = (0.5, 0.01)
POSTERIOR_AT = 0.01
"""The false positive rate of the attacker whose posterior is stated."""


@dataclass(frozen=True)
class Attacker:
    """The most that any attacker on one unit can reach at a false positive rate, whatever else he knows."""

    false_positive_rate: float
    largest_true_positive_rate: float
    posteriors: dict[float, float]
    """prior -> probability of membership after an alarm of this attacker."""


@dataclass(frozen=True, eq=False)
class TradeOff:
    """The trade-off between false and missed alarms of the best test, in both directions (unit added, unit
    removed)."""

    forward: Profile
    reverse: Profile

    def tpr(self, fpr: float) -> float:
        """The largest true positive rate at false positive rate `fpr`.

        P(S) <= delta(e) + exp(e) Q(S) for every e, negative ones too; the least of these bounds is reached
        (duality).
        """
        best = _best(self.forward, self.reverse, fpr)
        return best if self.forward is self.reverse else max(best, _best(self.reverse, self.forward, fpr))

    def posterior(self, prior: float, fpr: float) -> float:
        """The probability of membership after an alarm, for an attacker with this prior who raises `fpr`
        false alarms."""
        return _posterior(prior, self.tpr(fpr), fpr)


def _posterior(prior: float, tpr: float, fpr: float) -> float:
    return prior * tpr / (prior * tpr + (1 - prior) * fpr)


def trade_off(events: Sequence[Event]) -> TradeOff:
    """The exact trade-off curve of a run (of the distributions that dominate it)."""
    forward, reverse = profiles(events)
    return TradeOff(forward, reverse)


def attacker_table(events: Sequence[Event]) -> tuple[Attacker, ...]:
    """One row for each of `FALSE_POSITIVE_RATES`."""
    curve = trade_off(events)
    best = [(fpr, curve.tpr(fpr)) for fpr in FALSE_POSITIVE_RATES]
    return tuple(Attacker(fpr, tpr, {p: _posterior(p, tpr, fpr) for p in PRIORS}) for fpr, tpr in best)


def privacy_profile(events: Sequence[Event], epsilons: Sequence[float]) -> Floats:
    """delta at each epsilon >= 0, the larger of both directions, the least among the accountants that price
    all events."""
    forward, reverse = profiles(events)
    wanted = np.asarray(epsilons, dtype=np.float64)
    return forward(wanted) if forward is reverse else np.maximum(forward(wanted), reverse(wanted))


def profiles(events: Sequence[Event]) -> tuple[Profile, Profile]:
    """The profiles of P, Q (unit in) and of Q, P, for epsilons >= 0; one object where they are the same.

    BudgetError B308 when nothing prices all events.
    """
    found: list[tuple[Profile, Profile]] = []
    with suppress(Unpriceable):
        found.append(loss_of(events).profiles())
    with suppress(Unpriceable):
        concentrated = partial(zcdp_deltas, math.fsum(event_rho(event) for event in events))
        found.append((concentrated, concentrated))
    if not found:
        raise BudgetError(
            "B308", "no privacy curve covers all of these charges", "do not mix a zCDP grant with DP-SGD"
        )
    forward = _least([pair[0] for pair in found], failure(events))
    if all(one is two for one, two in found):
        return forward, forward
    return forward, _least([pair[1] for pair in found], failure(events))


def _least(sides: Sequence[Profile], lost: float) -> Profile:
    """The smallest of several bounds on one profile, with an additive failure."""
    return lambda epsilons: lost + (1 - lost) * np.min([side(epsilons) for side in sides], axis=0)


def _best(forward: Profile, reverse: Profile, fpr: float) -> float:
    """min over e of delta(e) + exp(e) fpr, on a grid refined three times; any e gives a valid bound."""
    low, high = -30.0, 30.0
    for _ in range(4):
        grid = np.linspace(low, high, 61)
        bounds = _extended(forward, reverse, grid) + np.exp(grid) * fpr
        centre, width = grid[int(np.argmin(bounds))], (high - low) / 30
        low, high = centre - width, centre + width
    return float(min(bounds.min(), 1.0))


def _extended(forward: Profile, reverse: Profile, epsilons: Floats) -> Floats:
    """The profile at negative epsilons too: delta(-x) = 1 - exp(-x) (1 - delta of the exchanged pair at
    x)."""
    deltas = np.empty(len(epsilons))
    ahead = epsilons >= 0
    deltas[ahead] = forward(epsilons[ahead])
    deltas[~ahead] = 1 - np.exp(epsilons[~ahead]) * (1 - reverse(-epsilons[~ahead]))
    return deltas
