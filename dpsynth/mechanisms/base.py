"""What a mechanism is: it decides which marginals to ask for, and says beforehand what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm import MergedMixture, MixtureModel, Model
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.progress import Progress, silent
from dpsynth.workload import Workload

MAX_CELLS = 5e6
"""Default limit for the cells of a model that grows with the data's structure."""


@dataclass(frozen=True)
class Told:
    """The determinant's cell tells the dependent's; `sizes`: their cells without the one for a missing value."""

    determinant: str
    dependent: str
    sizes: tuple[int, int]
    one_to_one: bool


@dataclass(frozen=True)
class Task:
    """What is to be modelled, all of it public.

    `rows_per_unit`: the bound that the engine enforces. `max_cells`: how large a model may grow whose cliques
    are chosen from the data. `ordered`: attributes whose neighbouring cells are near in meaning; `gaps`: attributes
    whose last cell stands for a missing value, which is near nothing. `zeros`: combinations of cells that no record has, by
    clique, axes in the domain's order; the estimation knows them too. `classes`: only cells of an attribute with one
    number may be merged, so that the zeros stay exact. `known`: cliques of a public table's model, which the fit keeps.
    `told`: functional dependencies whose map is to be learnt first.
    """

    domain: Domain
    rows_per_unit: int = 1
    workload: Workload = field(default_factory=Workload)
    max_cells: float = MAX_CELLS
    ordered: frozenset[str] = frozenset()
    apart: Mapping[str, int] = field(default_factory=dict, hash=False)
    zeros: Mapping[Clique, NDArray[np.bool_]] = field(default_factory=dict, compare=False)
    classes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict, compare=False)
    known: tuple[Clique, ...] = ()
    told: tuple[Told, ...] = ()

    @property
    def in_order(self) -> dict[str, int]:
        """How many first cells of each ordered attribute are in order: all but those for missing and special values."""
        return {a: self.domain[a] - self.apart.get(a, 0) for a in self.domain.attributes if a in self.ordered}


@dataclass(frozen=True, eq=False)
class Found:
    """What a mechanism released: the measurements, and the distribution that explains them (post-processing)."""

    measurements: tuple[Measurement, ...]
    generator: Model


@dataclass(frozen=True, eq=False)
class Mixed:
    """What a mechanism released that trains a generator: as `Found`, the distribution being a mixture of products."""

    measurements: tuple[Measurement, ...]
    generator: MixtureModel | MergedMixture


class Fit(Protocol):
    """Noisy marginals -> a distribution (post-processing); `start` is an earlier model to begin from."""

    def __call__(
        self, domain: Domain, measurements: Sequence[Measurement], *, start: Model | None = None
    ) -> Model: ...


class Mechanism(Protocol):
    """A way to choose marginals; its name in a project is a *method*.

    `plan` and `measure` share the code that prices and splits the cost: `measure` charges exactly the planned
    events, in order, whatever the data. All noise scales are fixed by the plan, or chosen inside a planned grant.
    """

    name: ClassVar[str]

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """What will be charged. Reads no data."""
        ...

    def cells(self, task: Task) -> int:
        """Cells of all tables that may have to be held at once, whatever the data. Reads no data."""
        ...

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        """The noise scale (rows) of each marginal that is measured whatever the data. Reads no data."""
        ...

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        """The noise scale (rows) of every marginal that is chosen from the data; None when none is, or when
        the data decides the noise too."""
        ...

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found | Mixed:
        """Ask the curator; what comes back is released. `progress` may raise to stop."""
        ...
