"""Renyi DP: the accountant of plans that hold both a zCDP grant and DP-SGD. The curves of sampled Gaussians
are dp-accounting's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dpsynth.privacy.events import DpSgd, Event, flatten
from dpsynth.privacy.gaussian import Floats
from dpsynth.privacy.zcdp import event_rho

ORDERS: Floats = np.concatenate(
    [np.arange(1.25, 3, 0.25), np.arange(3.0, 64), np.geomspace(64, 4096, 40).round()]
)


def rdp_epsilon(events: Sequence[Event], delta: float) -> float:
    """The least epsilon over `ORDERS`: Renyi divergences add up (Mironov 2017), and order alpha with
    divergence r promises

    r + log(1 - 1 / alpha) - log(alpha delta) / (alpha - 1)   (Canonne, Kamath and Steinke 2020, proposition
    12).
    """
    divergence = np.zeros(len(ORDERS))
    for event in flatten(events):
        divergence += _dp_sgd(event) if isinstance(event, DpSgd) else event_rho(event) * ORDERS
    epsilon = divergence + np.log1p(-1 / ORDERS) - np.log(ORDERS * delta) / (ORDERS - 1)
    return max(float(np.min(epsilon)), 0.0)


def _dp_sgd(event: DpSgd) -> Floats:
    """Steps times the divergences of one Poisson-sampled Gaussian (Mironov, Talwar and Zhang 2019)."""
    from dp_accounting import dp_event
    from dp_accounting.rdp import rdp_privacy_accountant

    if event.rate == 1:
        return event.steps * ORDERS / (2 * event.sigma**2)
    accountant = rdp_privacy_accountant.RdpAccountant(orders=ORDERS)
    step = dp_event.PoissonSampledDpEvent(event.rate, dp_event.GaussianDpEvent(event.sigma))
    accountant.compose(dp_event.SelfComposedDpEvent(step, event.steps))
    divergences: Floats = np.asarray(accountant._rdp, dtype=np.float64)
    return np.where(np.isfinite(divergences), divergences, math.inf)
