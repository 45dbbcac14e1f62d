"""All attacks together: an attacker who knows of half of the people whether they were in learns whom to believe.

Stacking (Wolpert 1992): of every other attack's scores the ranks, and the ranks stretched at the top, are weighed by a
logistic regression on the half that is known; the other half is judged. Given the known half, who of the other half was
in is still decided by chance alone, so that permuting these units is an exact test.

On Adult its area is .745 where the best single attack has .724 (chained trees), .807 for .795 (interpolated rows), .704
for .694 (a tree of marginals); on a copy with half of its cells changed it gains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.membership.logistic import fitted
from attacks.stats import ranks
from attacks.threat import Floats, Mask

_RIDGE = 10.0


@dataclass(frozen=True)
class Ensemble:
    """A learnt weighing of all other attacks' scores."""

    name: str = "ensemble"

    @property
    def threat(self) -> ThreatModel:
        how = "learns from those whom he knows how far to believe each of the other attacks"
        return ThreatModel((Holds.SYNTHETIC, Holds.REFERENCE, Holds.HALF), Wants.MEMBERSHIP, how)

    def combine(self, scores: Sequence[Floats], known: Mask, member: Mask) -> Floats:
        """One score per unit that is not `known`, NaN for the others; `member` is looked at where it is.

        `scores`: of each attack one per unit, NaN where it was not tried.
        """
        features = np.column_stack([part for one in scores for part in _features(one)])
        weights = fitted(member[known], features[known], _RIDGE)
        return np.where(known, np.nan, features @ weights[1:])


def _features(scores: Floats) -> tuple[Floats, Floats]:
    """Normal scores and Savage scores of the ranks, both with mean 0 and spread 1 (0 where not tried)."""
    tried = ~np.isnan(scores)
    n = int(tried.sum())
    place = ranks(scores[tried])
    made = []
    for values in (special.ndtri((place - 0.5) / n), -np.log((n + 1.0 - place) / n)):
        out = np.zeros(len(scores))
        spread = values.std()
        out[tried] = (values - values.mean()) / spread if spread > 0 else 0.0
        made.append(out)
    return made[0], made[1]
