"""Distance to the closest synthetic record, plain and against the distance to other real people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.threat import Floats, View

_BLUNT = 16.0  # a sixteenth of a mismatch: among near-copies in a crowd the ratio of distances says nothing


@dataclass(frozen=True)
class ClosestRecord:
    """Minus the mixed (Gower) distance to the closest synthetic row; the unit's closest row counts."""

    name: str = "closest record"

    @property
    def threat(self) -> ThreatModel:
        how = "looks for the synthetic row closest to the target's"
        return ThreatModel((Holds.SYNTHETIC, Holds.SCHEMA), Wants.MEMBERSHIP, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        return view.candidates.best(-view.closest.astype(np.float64))


@dataclass(frozen=True)
class CloserThanPeople:
    """How much closer a synthetic row comes to the target than anybody else's row does.

    The log ratio of the two distances: a small one means little in a crowd. The unit's best row counts.
    """

    name: str = "closer than people"

    @property
    def threat(self) -> ThreatModel:
        how = "compares their distances to the target"
        return ThreatModel((Holds.SYNTHETIC, Holds.REFERENCE), Wants.MEMBERSHIP, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        people = view.candidates.neighbour_distance.astype(np.float64)
        return view.candidates.best(np.log(people + _BLUNT) - np.log(view.closest + _BLUNT))
