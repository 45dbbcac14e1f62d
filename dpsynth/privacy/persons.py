"""What is charged to learn how many rows a unit has.

The question is a histogram of *units* by their number of kept rows. Each unit is in one of its cells, so one unit more or
less moves one cell by one (`sensitivity.UNIT_COUNT`), whatever `rows_per_unit` is, as long as no unit counts more than once
and none has more rows than were allowed in: the engine numbers units, and refuses to answer when it finds more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpsynth.budget import Cost
from dpsynth.privacy import sensitivity
from dpsynth.privacy.events import Charge, DiscreteGaussian, Event

PURPOSE = "rows per unit"

SHARE = 0.02
"""Of a plan's cost. At epsilon 1 and delta 1e-9 a count of units is then off by about 50."""


def sizes_event(cost: Cost) -> DiscreteGaussian:
    """The event of releasing the histogram: one vector, moved by one unit in one cell."""
    sigma = sensitivity.gaussian_sigma(cost, sensitivity.UNIT_COUNT, 1)
    return DiscreteGaussian(sigma, sensitivity.UNIT_COUNT)


def by_rows(purposes: Sequence[str], events: Sequence[Event], several_rows: bool) -> list[Event]:
    """Those events that one unit moves by as many rows as it may have: all but the histogram, where there is one.

    A second event of that purpose, one of another form, or one where units have a single row, is no exception.
    """
    asked = [i for i, purpose in enumerate(purposes) if purpose == PURPOSE]
    found = list(events)
    if several_rows and len(asked) == 1:
        match events[asked[0]]:
            case DiscreteGaussian(sensitivity=sensitivity.UNIT_COUNT, count=1):
                del found[asked[0]]
    return found


@dataclass(frozen=True)
class Shared:
    """A plan's cost, divided: `sizes` for the histogram (None: it is not asked for), `method` for everything else."""

    method: Cost
    sizes: Cost | None

    @classmethod
    def of(cls, cost: Cost, several_rows: bool) -> Shared:
        """`several_rows`: whether synthetic units have several rows, a public fact of the schema."""
        return cls(cost.share(1 - SHARE), cost.share(SHARE)) if several_rows else cls(cost, None)

    def charges(self) -> tuple[Charge, ...]:
        """What the histogram will be charged. It comes after the method's own charges."""
        return () if self.sizes is None else (Charge(PURPOSE, sizes_event(self.sizes)),)
