"""Linkability: two parts of a target's row, from two sources; does the table say that they belong together?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.disclosure.parts import TARGETS, closest_on, places
from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.threat import Floats, View


@dataclass(frozen=True)
class Linkability:
    """Linked when one synthetic row is the closest to the target on both parts, or as close as the closest.

    With a, b and c the distances to the closest row on the first part, on the second and on both, some row is
    closest on both parts exactly if c = a + b; the score is minus the gap. `first` and `second` are columns
    that do not overlap.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    name: str = "link two sources"
    most_targets: int = TARGETS
    right_above: float = -0.5

    @property
    def threat(self) -> ThreatModel:
        how = (
            f"has {', '.join(self.first)} from one source and the other columns from another, and links the two "
            "where one synthetic row is closest to both"
        )
        return ThreatModel((Holds.SYNTHETIC, Holds.SCHEMA), Wants.LINKAGE, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        first, second = places(view, self.first), places(view, self.second)
        apart = closest_on(view, first).astype(np.float64) + closest_on(view, second)
        together = closest_on(view, tuple(sorted((*first, *second)))).astype(np.float64)
        return view.candidates.best(apart - together)
