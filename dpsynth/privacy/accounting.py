"""Events -> epsilon at delta, and the other way round: the names that the rest of the project uses.

A certificate is the smallest epsilon among the accountants whose theorem covers *all* events of a plan that
was fixed before data was read. An accountant that cannot price an event is left out. (Filters of adaptive
loops are another matter: `filters.py`.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dpsynth.budget import Budget, Cost
from dpsynth.errors import BudgetError
from dpsynth.privacy.calibration import Plan, calibrate_with
from dpsynth.privacy.curves import Attacker, TradeOff, attacker_table, privacy_profile, trade_off
from dpsynth.privacy.domination import dominating_gaussian
from dpsynth.privacy.events import DiscreteLaplace, Event, External, PureDp, flatten
from dpsynth.privacy.filters import gdp_mu, zcdp_rho
from dpsynth.privacy.gaussian import gaussian_delta, gaussian_epsilon, gaussian_mu
from dpsynth.privacy.gdp import event_mu
from dpsynth.privacy.pld import loss_of
from dpsynth.privacy.rdp import rdp_epsilon
from dpsynth.privacy.zcdp import Unpriceable, event_rho, failure, zcdp_epsilon

__all__ = [
    "ACCOUNTANTS",
    "Attacker",
    "Certificate",
    "TradeOff",
    "attacker_table",
    "calibrate",
    "certify",
    "dominating_gaussian",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_mu",
    "gdp_mu",
    "privacy_profile",
    "trade_off",
    "zcdp_epsilon",
    "zcdp_rho",
]


@dataclass(frozen=True)
class Certificate:
    """All events together are (epsilon, delta)-differentially private, by the theorem named."""

    epsilon: float
    delta: float
    accountant: str
    theorem: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Certificate:
        return cls(
            float(value["epsilon"]), float(value["delta"]), str(value["accountant"]), str(value["theorem"])
        )


@dataclass(frozen=True)
class Accountant:
    """epsilon of all events at a delta from which the additive failures were taken already; raises
    Unpriceable."""

    theorem: str
    epsilon: Callable[[Sequence[Event], float], float]


def _gdp(events: Sequence[Event], delta: float) -> float:
    return gaussian_epsilon(math.sqrt(math.fsum(event_mu(event) ** 2 for event in events)), delta)


def _pld(events: Sequence[Event], delta: float) -> float:
    return loss_of(events).epsilon(delta)


def _zcdp(events: Sequence[Event], delta: float) -> float:
    return zcdp_epsilon(math.fsum(event_rho(event) for event in events), delta)


def _pure(events: Sequence[Event], delta: float) -> float:
    return math.fsum(_pure_epsilon(event) for event in flatten(events))


def _pure_epsilon(event: Event) -> float:
    match event:
        case PureDp(epsilon, count):
            return epsilon * count
        case External(epsilon, _):
            return epsilon
        case DiscreteLaplace(scale, k, count):
            return count * k / scale
        case _:
            raise Unpriceable(f"pure DP does not hold for '{event.kind}'")


ACCOUNTANTS: Mapping[str, Accountant] = {
    "gdp": Accountant("Gaussian DP composes (Dong, Roth and Su 2022)", _gdp),
    "pld": Accountant(
        "privacy-loss distributions of dominating pairs compose (Zhu, Dong and Wang 2022)", _pld
    ),
    "zcdp": Accountant("zCDP composes; conversion of Canonne, Kamath and Steinke 2020", _zcdp),
    "pure": Accountant("pure DP adds up (Dwork, McSherry, Nissim and Smith 2006)", _pure),
    "rdp": Accountant(
        "Renyi DP composes (Mironov 2017); conversion of Canonne, Kamath and Steinke 2020", rdp_epsilon
    ),
}
LAST_RESORT = "rdp"
"""Slow, never the smallest: asked only when nothing else covers the plan (a zCDP grant beside DP-SGD)."""


def certify(events: Sequence[Event], delta: float) -> Certificate:
    """The smallest epsilon of all events together at `delta`, and the theorem behind it.

    Additive deltas come off first: (delta - failure) / (1 - failure) is left for the rest. BudgetError B309
    when they use delta up, B310 when no accountant covers all events.
    """
    lost = failure(events)
    if not lost < delta < 1:
        raise BudgetError(
            "B309", f"additive deltas of {lost:g} leave nothing of delta {delta:g}", "promise a larger delta"
        )
    rest = (delta - lost) / (1 - lost)
    found = [price for name in ACCOUNTANTS if name != LAST_RESORT for price in _price(name, events, rest)]
    found = found or _price(LAST_RESORT, events, rest)
    if not found:
        raise BudgetError("B310", "no accountant covers all of these charges together", "change the plan")
    epsilon, name = min(found, key=lambda price: price[0])
    return Certificate(epsilon, delta, name, ACCOUNTANTS[name].theorem)


def _price(name: str, events: Sequence[Event], delta: float) -> list[tuple[float, str]]:
    """[(epsilon, name)], or nothing when this accountant's theorem does not cover all events."""
    try:
        epsilon = ACCOUNTANTS[name].epsilon(events, delta)
    except Unpriceable:
        return []
    return [(epsilon, name)] if math.isfinite(epsilon) else []


def calibrate(plan: Plan, budget: Budget) -> Cost:
    """The largest cost whose plan is certified within the budget (see `calibration.calibrate_with`)."""
    return calibrate_with(lambda events, delta: certify(events, delta).epsilon, plan, budget)
