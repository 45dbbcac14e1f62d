"""Density attacks: are there more synthetic rows around the target than real people's rows lead one to expect?

All distances are exact and mixed (Gower); the candidates' own rows are the reference, each without its unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.kernels import Distances, nearest
from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.threat import Floats, View

_BLUNT = 16.0  # a sixteenth of a mismatch: below it distances say nothing


@dataclass(frozen=True)
class DensityRatio:
    """DOMIAS (van Breugel et al. 2023) with densities from the `k` nearest rows (Loftsgaarden and Quesenberry).

    ``log d_k(people) - log d_k(synthetic)``; among the smallest distances the mean over 1 .. k steadies both.
    """

    name: str = "density ratio"
    k: int = 8
    most_targets: int = 10_000

    @property
    def threat(self) -> ThreatModel:
        how = f"compares how far the {self.k} closest rows of both are from the target"
        return ThreatModel((Holds.SYNTHETIC, Holds.REFERENCE), Wants.MEMBERSHIP, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        return view.candidates.best(
            _mean_log(people_near(view, self.k)) - _mean_log(synthetic_near(view, self.k))
        )


@dataclass(frozen=True)
class MonteCarlo:
    """Share of synthetic rows within a radius (Hilprecht, Haerterich and Bernau 2019), less the people's.

    The radius is the median distance to the closest synthetic row, their heuristic; `plain`: nothing is
    subtracted, as published.
    """

    name: str = "Monte Carlo neighbourhood"
    k: int = 32  # rows counted at most
    plain: bool = False

    @property
    def threat(self) -> ThreatModel:
        held = (Holds.SYNTHETIC,) if self.plain else (Holds.SYNTHETIC, Holds.REFERENCE)
        return ThreatModel(held, Wants.MEMBERSHIP, "counts the synthetic rows around the target")

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        near = synthetic_near(view, self.k)
        radius = np.median(near[:, 0])
        score = np.log1p((near <= radius).sum(axis=1))
        if not self.plain:
            score = score - np.log1p((people_near(view, self.k) <= radius).sum(axis=1))
        return view.candidates.best(score)


def synthetic_near(view: View, k: int) -> Distances:
    """Distances to the k closest synthetic rows, ascending, shape (rows, k)."""

    def compute() -> Distances:
        new = view.synthetic if view.grown is None else view.grown[1]
        found = nearest(view.candidates.rows.fine, new.fine, view.candidates.ordered, k=k)
        if view.grown is None:
            return found
        return np.sort(np.concatenate([found, synthetic_near(view.grown[0], k)], axis=1), axis=1)[:, :k]

    return view.once(f"{k} synthetic rows near", compute)


def people_near(view: View, k: int) -> Distances:
    """Distances to the k closest rows of other units, ascending, shape (rows, k)."""
    candidates = view.candidates

    def compute() -> Distances:
        own = (candidates.first[candidates.unit], candidates.last[candidates.unit])
        return nearest(candidates.rows.fine, candidates.rows.fine, candidates.ordered, k=k, skip=own)

    return candidates.once(f"{k} people near", compute)


def _mean_log(distances: NDArray[np.uint32]) -> Floats:
    return np.asarray(np.log(distances.astype(np.float64) + _BLUNT).mean(axis=1))
