"""Black box, many fits of our own methods on the smallest worst-case table, scored by what was released.

The score is the likelihood ratio of the released measurements between the two tables: the strongest there is for noisy
counts, and what makes the Gaussian-DP estimate come close to the claim. Every fit is the real `fit_reserved`, model and
all; only the receipt, which is the same for every table, is written once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from attacks.guarantee.campaign import Claim
from dpsynth.budget import Budget, Cost
from dpsynth.domain import Clique
from dpsynth.guarantee.rehearsing import receipt_of, rehearse
from dpsynth.guarantee.tables import Tables, crowd
from dpsynth.guarantee.white_box import claimed_mu
from dpsynth.measurement import Measurement
from dpsynth.privacy.merging import merge_counts
from dpsynth.privacy.rehearsal import exact_door
from dpsynth.synthesis import Plan, plan

Counts = NDArray[np.int64]


KNOWN = ("likelihood ratio", 0.0)
"""The score and its best threshold, by theory: `many_fits.bound` need not learn them."""


class OwnTrial:
    """One fit of a method with or without the unit: its scores. `claim` is what the fit promises."""

    def __init__(self, method: str, budget: Budget, tables: Tables | None = None) -> None:
        self.tables = crowd() if tables is None else tables
        self.preview: Plan = plan(
            self.tables.schema, method=method, epsilon=budget.epsilon, delta=budget.delta
        )
        self.claim = Claim(budget.epsilon, budget.delta, claimed_mu(self.preview))
        self._receipt = receipt_of(self.preview)
        unit = self.tables.neighbours[0]
        self._frames = (self.tables.base, self.tables.frame_with(unit))
        self._doors = (exact_door(self.tables.alone.engine), exact_door(self.tables.joined(unit).engine))
        self._known: dict[Clique, tuple[Counts, Counts]] = {}

    def __call__(self, with_unit: bool) -> Mapping[str, float]:
        frame = self._frames[with_unit]
        model, _ = rehearse(frame, self.preview, self._receipt, schema=self.tables.schema)
        ratio = sum(self._log_ratio(m) for m in model.measurements)
        return {KNOWN[0]: ratio, "rows": float(model.default_rows())}

    def _log_ratio(self, m: Measurement) -> float:
        """log of the chance of these values with the unit over that without it, by the stated scale."""
        without, joined = (merge_counts(counts, m.clique, m.merges) for counts in self._exact(m.clique))
        gap = (m.values - without).astype(float) ** 2 - (m.values - joined).astype(float) ** 2
        return float(gap.sum()) / (2 * m.sigma**2)

    def _exact(self, clique: Clique) -> tuple[Counts, Counts]:
        if clique not in self._known:
            one, other = (door.measure([clique], Cost(0.1), "exact")[0].values for door in self._doors)
            self._known[clique] = (one, other)
        return self._known[clique]
