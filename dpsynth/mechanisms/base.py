"""What a mechanism is: it decides which marginals to ask for, and says beforehand what that costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm import GraphicalModel
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge

Fit = Callable[[Domain, Sequence[Measurement]], GraphicalModel]
"""Noisy marginals -> a distribution (post-processing)."""


class Mechanism(Protocol):
    """A way to choose marginals; its name in a project is a *method*.

    `plan` and `measure` share the code that prices and splits the cost: `measure` charges exactly the planned
    events, in order, whatever the data. All noise scales are fixed by the plan.
    """

    name: ClassVar[str]

    def plan(self, domain: Domain, cost: Cost, rows_per_unit: int) -> tuple[Charge, ...]:
        """What will be charged. Reads no data."""
        ...

    def cells(self, domain: Domain) -> int:
        """Cells of all tables that may have to be held at once, whatever the data. Reads no data."""
        ...

    def noise(self, domain: Domain, cost: Cost, rows_per_unit: int) -> dict[Clique, float]:
        """The noise scale (rows) of each marginal that is measured whatever the data. Reads no data."""
        ...

    def chosen_noise(self, domain: Domain, cost: Cost, rows_per_unit: int) -> float | None:
        """The noise scale (rows) of every marginal that is chosen from the data; None when none is."""
        ...

    def measure(self, curator: Curator, cost: Cost, fit: Fit) -> list[Measurement]:
        """Ask the curator; what comes back is released."""
        ...
