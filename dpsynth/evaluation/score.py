"""NIST's k-marginal score over pairs, and what share of the real people would score the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpsynth.domain import Clique
from dpsynth.evaluation.fidelity import MarginalErrors
from dpsynth.evaluation.figures import Figure, Json, rounded
from dpsynth.evaluation.marginals import Floats, Sample, cell_index, shares, total_variation
from dpsynth.unit_columns import several

SHARES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
MOST_REPEATS, FEWEST_REPEATS, MARGINALS = 12, 3, 400
"""Each share is drawn 12 times, or less often, but at least 3 times, when that takes more than 400
marginals.
"""


@dataclass(frozen=True)
class KMarginal:
    """1000 * (1 - mean total variation over all pairs of columns), truncated as NIST does.

    `equivalent` is the share of the training units, drawn without replacement, whose score against the whole
    training table is the same: "like a random k % of the real people". It is cut to the range that was tried
    (0.2 % to 99 %).
    """

    score: int
    low: int
    high: int
    redrawn: int  # the score of as many rows drawn from the real table: what independent draws can reach
    equivalent: Figure

    def words(self, entity: str = "person") -> str:
        percent = 100 * self.equivalent.value
        amount = f"{percent:.0f} %" if percent >= 2 else f"{percent:.1f} %"
        return f"as close to the real table as a random {amount} of its {several(entity)} would be"

    def as_json(self) -> Json:
        return {
            "score": self.score,
            "low": self.low,
            "high": self.high,
            "best_redrawn": self.redrawn,
            "equivalent_share": self.equivalent.as_json(),
            "shares_tried": [rounded(SHARES[0]), rounded(SHARES[-1])],
        }


def k_marginal(pairs: MarginalErrors, train: Sample, rng: np.random.Generator) -> KMarginal:
    """The score of the 2-way errors already measured, and its reading as a subsample of `train`."""
    curve = subsample_errors(train, [c.clique for c in pairs.by_clique], rng)
    error = pairs.error
    return KMarginal(
        score=score_of(error.value),
        low=score_of(error.high),
        high=score_of(error.low),
        redrawn=score_of(pairs.redrawn.value),
        equivalent=Figure(
            _share_at(error.value, curve), _share_at(error.high, curve), _share_at(error.low, curve)
        ),
    )


def score_of(mean_total_variation: float) -> int:
    """NIST's score: 1000 * (1 - mean over pairs of sum |p - q| / 2), truncated."""
    return int(1000 * (1 - mean_total_variation))


def subsample_errors(train: Sample, cliques: Sequence[Clique], rng: np.random.Generator) -> Floats:
    """Mean total variation between a random share of the units and all of them, for each of SHARES.

    Shape (len(SHARES),), made non-increasing: a larger share is no further from the whole.
    """
    repeats = min(MOST_REPEATS, max(FEWEST_REPEATS, MARGINALS // len(cliques)))
    weights = [[train.subsample(rng, share) for _ in range(repeats)] for share in SHARES]
    sums = np.zeros((len(SHARES), repeats))
    for clique in cliques:
        (index,), cells = cell_index(clique, [train.records])
        exact = shares(index, cells)
        sums += [[total_variation(shares(index, cells, w), exact) for w in row] for row in weights]
    return np.minimum.accumulate(sums.mean(axis=1) / len(cliques))


def _share_at(error: float, curve: Floats) -> float:
    """The share whose error this is: linear in sqrt((1 - f) / f), to which a subsample's error is about
    proportional.
    """
    tried = np.array(SHARES)
    scale = np.sqrt((1 - tried) / tried)
    at = float(np.interp(error, curve[::-1], scale[::-1]))
    return 1 / (1 + at * at)
