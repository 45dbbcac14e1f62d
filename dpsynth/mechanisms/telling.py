"""Which value tells which: functional dependencies whose map nobody declared, learnt for a charge before a method begins.

Each pair of columns is measured once, at full resolution, for a small share of the cost. Every value of the determinant is
taken to tell the value of the dependent with which it was counted most; one to one, the assignment that was counted most in
all. The map is post-processing of released counts. From then on the other combinations are impossible for the method, which
also fits the counts themselves: nothing that was paid for is lost. Where a value drowns in the noise its image is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.constraints import classes_of
from dpsynth.constraints_declared import MAPS
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.mechanisms.base import Fit, Found, Mechanism, Mixed, Task, Told
from dpsynth.pgm import Model
from dpsynth.privacy import sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.progress import Progress, silent

PURPOSE = MAPS

SHARE, MOST_SHARE = 0.03, 0.1
"""Of the whole cost, for each pair of columns, and for all of them together."""

Zeros = Mapping[Clique, NDArray[np.bool_]]


@runtime_checkable
class TakesZeros(Protocol):
    """A fit that can be told which combinations no record has."""

    def with_zeros(self, zeros: Zeros) -> Fit: ...


@dataclass(frozen=True)
class Telling:
    """A method after the maps of `task.told` were learnt."""

    method: Mechanism
    name: ClassVar[str] = "learning which value tells which, and then the method,"

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """One charge for all pairs, then the method's."""
        first, rest = _split(task, cost)
        event = sensitivity.measure_event(first, task.rows_per_unit, [1.0] * len(_pairs(task)))
        return (Charge(PURPOSE, event), *self.method.plan(task, rest))

    def cells(self, task: Task) -> int:
        return self.method.cells(task) + sum(task.domain.size(pair) for pair in _pairs(task))

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        first, rest = _split(task, cost)
        pairs = _pairs(task)
        own = sensitivity.sigmas(first, task.rows_per_unit, [1.0] * len(pairs))
        return {**self.method.noise(task, rest), **dict(zip(pairs, own, strict=True))}

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        return self.method.chosen_noise(task, _split(task, cost)[1])

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found | Mixed:
        first, rest = _split(task, cost)
        learnt = curator.measure(_pairs(task), first, PURPOSE)
        zeros = {**task.zeros, **_impossible(task, learnt)}
        estimate = fit.with_zeros(zeros) if isinstance(fit, TakesZeros) else fit
        found = self.method.measure(
            curator,
            replace(task, zeros=zeros, classes=classes_of(zeros, task.domain)),
            rest,
            _With(tuple(learnt), estimate),
            progress,
        )
        return replace(found, measurements=(*learnt, *found.measurements))


@dataclass(frozen=True, eq=False)
class _With:
    """A fit that always knows these measurements too."""

    learnt: tuple[Measurement, ...]
    fit: Fit

    def __call__(
        self, domain: Domain, measurements: Sequence[Measurement], *, start: Model | None = None
    ) -> Model:
        return self.fit(domain, [*self.learnt, *measurements], start=start)


def images(told: Told, counts: NDArray[np.int64]) -> dict[int, int]:
    """Which cell of the dependent each cell of the determinant tells; `counts` (determinant, dependent), noisy, without
    missing values."""
    if told.one_to_one:
        from scipy.optimize import linear_sum_assignment  # slow to import, for this alone

        rows, columns = linear_sum_assignment(-counts.astype(np.float64))
        return dict(zip(rows.tolist(), columns.tolist(), strict=True))
    return dict(enumerate(counts.argmax(axis=1).tolist()))


def measured_pair(told: Told, measurements: Sequence[Measurement]) -> NDArray[np.int64]:
    """The counts that the map is learnt from, (determinant, dependent), without the cells of missing values: the first full
    measurement of the pair."""
    pair = (told.determinant, told.dependent)
    one = next(m for m in measurements if set(m.clique) == set(pair) and len(m.clique) == 2 and not m.merges)
    counts = one.values if one.clique == pair else one.values.T
    return counts[: told.sizes[0], : told.sizes[1]]


def _impossible(task: Task, learnt: Sequence[Measurement]) -> dict[Clique, NDArray[np.bool_]]:
    """Cells of each pair that its map excludes; a missing value excludes nothing."""
    found: dict[Clique, NDArray[np.bool_]] = {}
    for told in task.told:
        clique = task.domain.ordered((told.determinant, told.dependent))
        pair = (told.determinant, told.dependent)
        table = np.zeros(task.domain.shape(pair), dtype=bool)
        known = images(told, measured_pair(told, learnt))
        rows, columns = told.sizes
        for source, image in known.items():
            table[source, :columns] = True
            if told.one_to_one:
                table[:rows, image] = True
        for source, image in known.items():
            table[source, image] = False
        table = table if clique == pair else table.T
        before = found.get(clique, task.zeros.get(clique))
        found[clique] = table if before is None else table | before
    return found


def _pairs(task: Task) -> list[Clique]:
    return list(dict.fromkeys(task.domain.ordered((t.determinant, t.dependent)) for t in task.told))


def _split(task: Task, cost: Cost) -> tuple[Cost, Cost]:
    share = min(MOST_SHARE, SHARE * len(_pairs(task)))
    return cost.share(share), cost.share(1 - share)
