"""Renyi DP by dp-accounting, for plans that hold both a zCDP grant and DP-SGD."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dpsynth.privacy.events import DpSgd, Event, flatten
from dpsynth.privacy.zcdp import event_rho

ORDERS = [*np.arange(1.25, 3, 0.25), *range(3, 64), *np.geomspace(64, 4096, 40).round()]


def rdp_epsilon(events: Sequence[Event], delta: float) -> float:
    """The least epsilon over `ORDERS`.

    Renyi divergences add up (Mironov 2017); a Poisson-sampled Gaussian has those of Mironov, Talwar and Zhang (2019),
    everything else at most rho times the order; conversion of Canonne, Kamath and Steinke (2020, proposition 12).
    """
    from dp_accounting import dp_event
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(orders=ORDERS)
    for event in flatten(events):
        if isinstance(event, DpSgd):
            step = dp_event.PoissonSampledDpEvent(event.rate, dp_event.GaussianDpEvent(event.sigma))
            accountant.compose(step, event.steps)
        else:
            accountant.compose(dp_event.ZCDpEvent(event_rho(event)))
    return float(accountant.get_epsilon(delta))
