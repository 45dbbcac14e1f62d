"""Distance to the closest synthetic record, plain and against the distance to other real people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.kernels import nearest
from attacks.threat import Floats, View


@dataclass(frozen=True)
class ClosestRecord:
    """Minus the mixed (Gower) distance to the closest synthetic row; the unit's closest row counts."""

    name: str = "closest record"
    knows: str = "the synthetic rows; looks for the synthetic row closest to the target's"

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        candidates = view.candidates
        found = nearest(candidates.rows.fine, view.synthetic.fine, candidates.ordered)[:, 0]
        return candidates.best(-found.astype(np.float64))


@dataclass(frozen=True)
class CloserThanPeople:
    """How much closer the synthetic rows come to the target than other people's rows do.

    A small distance means little in a crowd. Score: mean over the `k` closest of the log ratio of the
    distances (plus one mismatch's worth / 16, so that two near-copies in a crowd do not decide).
    """

    name: str = "closer than people"
    knows: str = "the synthetic rows and all candidates' rows; compares the two distances to the target"
    k: int = 1

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        candidates = view.candidates
        found = nearest(candidates.rows.fine, view.synthetic.fine, candidates.ordered)[:, 0]
        people = candidates.neighbour_distance.astype(np.float64)
        return candidates.best(np.log(people + 16.0) - np.log(found + 16.0))
