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

from dpsynth.errors import BudgetError
from dpsynth.privacy.events import Event
from dpsynth.privacy.gdp import event_mu
from dpsynth.privacy.zcdp import Unpriceable, event_rho, failure


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


def _no_price(name: str, reason: str) -> BudgetError:
    return BudgetError(
        "B306", f"a {name} filter cannot price this: {reason}", "reserve it outside the adaptive loop"
    )
