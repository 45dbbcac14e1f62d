"""PrivBayes: a Bayesian network, grown one child at a time (Zhang, Cormode, Procopiuc, Srivastava and Xiao 2017).

One-way marginals first. Then each attribute in turn joins the network: a private choice among all pairs of an attribute
outside and a set of parents inside, then the noisy marginal of child and parents. What is different from the paper:

* *Score.* The L1 distance between the exact marginal of (child, parents) and the model so far, in which the child
  is independent of everything. The paper's R score measures the same against exact margins and moves by more; this
  one moves by at most ``rows_per_unit``, since the model is fixed by released values (`Curator.select`).
* *Order.* Child after child is measured before the next one is chosen, so that later choices see better margins.
* *Use.* A graphical model is fitted to all marginals together instead of reading each table as a conditional
  distribution: overlapping tables agree, and each profits from the others.

As in the paper a table is *useful* only when its cells hold `USEFUL` times more records on average than their noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import ClassVar

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.mechanisms import oneway
from dpsynth.mechanisms.adaptive import L1_OF_NOISE, MANY, SCORED_CELLS, begin, behind, inner, question
from dpsynth.mechanisms.base import Fit, Found, Task
from dpsynth.mechanisms.rooms import Room
from dpsynth.privacy import rounds
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.privacy.rounds import Round
from dpsynth.progress import Progress, silent

JOIN = "privbayes: choose and measure a child with its parents"

CHOICE_SHARE = 0.15
"""Of each child's cost, for its choice."""

USEFUL = 4.0
"""Least average count of a cell, in units of its expected noise (theta of the paper)."""

MOST_PARENTS = 3


class PrivBayes:
    """Noisy one-way marginals, then for each further attribute a noisy marginal with its parents."""

    name: ClassVar[str] = "privbayes"

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """One-ways, then equal rounds, one for each attribute but the first."""
        ones, join = _split(task, cost)
        charges = [oneway.charge(task.domain, ones, task.rows_per_unit)]
        if join is not None:
            charges += [Charge(JOIN, join.event(task.rows_per_unit))] * (len(task.domain) - 1)
        return tuple(charges)

    def cells(self, task: Task) -> int:
        sums = [1] + [0] * (MOST_PARENTS + 1)
        for size in task.domain.sizes:
            for ways in range(MOST_PARENTS + 1, 0, -1):
                sums[ways] += sums[ways - 1] * size
        return sums[1] + min(int(SCORED_CELLS * task.max_cells), sum(sums[2:]))

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        return oneway.noise(task.domain, _split(task, cost)[0], task.rows_per_unit)

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        """That of the children's tables."""
        join = _split(task, cost)[1]
        return None if join is None else join.sigma(task.rows_per_unit)

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found:
        ones, join = _split(task, cost)
        found = oneway.measure(curator, ones)
        if join is None:
            return Found(tuple(found), fit(task.domain, found))
        model = begin(task, found, join.times(len(task.domain) - 1).counts, fit)
        door = behind(curator, model)
        sigma = join.sigma(curator.rows_per_unit)
        network = _Network(door.domain, task, sigma, model.total)
        for done in range(1, len(task.domain)):
            progress("measuring", done / len(task.domain))
            asked = network.children()
            ask = question(inner(model), asked, dict.fromkeys(asked, 1), sigma)
            newest = door.choose_and_measure(ask.estimates, join, JOIN, ask.penalties)
            network.join(newest.clique)
            found.append(newest)
            model = fit(task.domain, found, start=model)
        return Found(tuple(found), model)


class _Network:
    """Which attributes are in, and who may come next. Reads released values only."""

    def __init__(self, domain: Domain, task: Task, sigma: float, total: float) -> None:
        self._domain = domain
        self._limit = task.max_cells
        self._useful = min(total / (USEFUL * L1_OF_NOISE * sigma), task.max_cells)
        self._budget = SCORED_CELLS * task.max_cells
        self._known: set[Clique] = set()
        self._room = Room(domain, task.zeros)
        target = task.workload.target
        self._inside = [target if target in domain else domain.attributes[0]]

    def join(self, clique: Clique) -> None:
        self._room.add(clique)
        self._inside.append(clique[-1])

    def children(self) -> list[Clique]:
        """(parents..., child) for all that may join, each with its useful sets of parents, or alone without any."""
        outside = [a for a in self._domain.attributes if a not in self._inside]
        sets = list(self._parents(len(outside)))
        found: list[Clique] = []
        for child in outside:
            useful = [c for parents in sets if self._domain.size(c := (*parents, child)) <= self._useful]
            found += self._counted(self._room.fits(useful, self._limit)) or [(child,)]
        return found

    def _parents(self, outside: int) -> Iterator[Clique]:
        """Sets of attributes inside, small ones first: as large as their number allows."""
        for ways in range(1, min(MOST_PARENTS, len(self._inside)) + 1):
            if ways > 1 and outside * math.comb(len(self._inside), ways) > MANY:
                return
            yield from itertools.combinations(self._inside, ways)

    def _counted(self, cliques: list[Clique]) -> list[Clique]:
        """Those that were counted before or may be counted still."""
        found = []
        for clique in cliques:
            cells = 0 if clique in self._known else self._domain.size(clique)
            if cells <= self._budget:
                self._budget -= cells
                self._known.add(clique)
                found.append(clique)
        return found


def _split(task: Task, cost: Cost) -> tuple[Cost, Round | None]:
    """(for the one-ways, for each attribute that joins)."""
    joins = len(task.domain) - 1
    if joins == 0:
        return cost, None
    share = oneway.share(cost, task.rows_per_unit)
    rest = cost.share(1 - share)
    return cost.share(share), rounds.round_of(rest.share(1 / joins), CHOICE_SHARE)
