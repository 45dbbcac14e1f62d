"""MST: a maximum spanning tree of pairs, chosen privately (McKenna, Miklau and Sheldon 2021).

One-way marginals first; then, edge by edge, the pair between two components whose marginal is furthest from
independence; then all chosen pairs at one noise scale.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.mechanisms import oneway
from dpsynth.mechanisms.base import Fit, Found, Task
from dpsynth.pgm import Model
from dpsynth.privacy import sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.progress import Progress, silent

SELECT, PAIRS = "mst: choose a pair", "mst: chosen pairs"

ONEWAY_SHARE, CHOICE_SHARE = 0.3, 0.1
"""Of the whole cost, for the one-way marginals and for all choices together; the pairs get the rest."""

PENALTY = 0.5
"""How much of a pair's expected noise counts against choosing it."""

MOST_ERROR = 2.0
"""No estimate is further from the truth than twice all records: a pair with a larger penalty is not even asked."""


@dataclass(frozen=True)
class _Split:
    """Costs of the stages; `choice` is that of one round. None where there is nothing to do."""

    oneway: Cost
    choice: Cost | None
    pairs: Cost | None


class Mst:
    """Noisy one-way marginals and a spanning tree of noisy two-way marginals."""

    name: ClassVar[str] = "mst"

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """One-ways, a choice per edge, all chosen pairs; a single attribute has the one-way only."""
        domain, k = task.domain, task.rows_per_unit
        split = _split(domain, cost)
        charges = [oneway.charge(domain, split.oneway, k)]
        if split.choice is not None:
            charges += [Charge(SELECT, sensitivity.select_event(split.choice))] * (len(domain) - 1)
        if split.pairs is not None:
            charges.append(Charge(PAIRS, sensitivity.measure_event(split.pairs, k, _equal(domain))))
        return tuple(charges)

    def cells(self, task: Task) -> int:
        """All pairs: each is a candidate for the tree."""
        sizes = task.domain.sizes
        return (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2 + sum(sizes)

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        """The one-way marginals; with two attributes also their only pair."""
        domain, k = task.domain, task.rows_per_unit
        split = _split(domain, cost)
        known = oneway.noise(domain, split.oneway, k)
        if split.pairs is not None and split.choice is None:
            known[domain.attributes] = sensitivity.sigmas(split.pairs, k, _equal(domain))[0]
        return known

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        """That of the tree's pairs."""
        split = _split(task.domain, cost)
        if split.pairs is None or split.choice is None:
            return None
        return sensitivity.sigmas(split.pairs, task.rows_per_unit, _equal(task.domain))[0]

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found:
        domain = task.domain
        split = _split(domain, cost)
        found = oneway.measure(curator, split.oneway)
        if split.pairs is None:
            return Found(tuple(found), fit(domain, found))
        tree = [domain.attributes]
        if split.choice is not None:
            sigma = sensitivity.sigmas(split.pairs, task.rows_per_unit, _equal(domain))[0]
            ruled = _ruled(domain, task.zeros)
            tree = _choose(curator, fit(domain, found), split.choice, _penalties(domain, sigma), ruled)
        found += curator.measure(tree, split.pairs, PAIRS)
        return Found(tuple(found), fit(domain, found))


def _ruled(domain: Domain, zeros: Iterable[Clique]) -> list[Clique]:
    """Pairs inside cliques with impossible cells."""
    return list(dict.fromkeys(p for c in zeros for p in itertools.combinations(domain.ordered(c), 2)))


def _split(domain: Domain, cost: Cost) -> _Split:
    """Two attributes have only one pair: nothing is chosen. One has none."""
    edges = len(domain) - 1
    if edges == 0:
        return _Split(cost, None, None)
    oneway = cost.share(ONEWAY_SHARE)
    if edges == 1:
        return _Split(oneway, None, cost.share(1 - ONEWAY_SHARE))
    choices = cost.share(CHOICE_SHARE)
    return _Split(oneway, choices.share(1 / edges), cost.share(1 - ONEWAY_SHARE - CHOICE_SHARE))


def _equal(domain: Domain) -> list[float]:
    """Equal weights of all chosen pairs: their cells are not known to the plan."""
    return [1.0] * (len(domain) - 1)


def _choose(
    curator: Curator,
    independent: Model,
    choice: Cost,
    penalties: Mapping[Clique, int],
    ruled: Sequence[Clique] = (),
) -> list[Clique]:
    """The spanning tree: each round one pair that joins two components, the worst explained so far.

    `ruled`: pairs that are not independent even before any of them is measured.
    """
    ones = {a: independent.marginal((a,)) for a in curator.domain.attributes}
    linked = independent.marginals(ruled)
    products: dict[Clique, NDArray[np.float64]] = {}
    component = {a: i for i, a in enumerate(ones)}
    tree: list[Clique] = []
    while len(tree) < len(ones) - 1:
        joining = [p for p in penalties if component[p[0]] != component[p[1]]]
        worth = [p for p in joining if penalties[p] < MOST_ERROR * independent.total] or joining
        for one, two in set(worth) - set(products):
            known = linked.get((one, two))
            products[one, two] = (
                np.outer(ones[one], ones[two]) / independent.total if known is None else known
            )
        pair = curator.select({p: products[p] for p in worth}, choice, SELECT, penalties)
        tree.append(pair)
        old, new = component[pair[0]], component[pair[1]]
        component = {a: new if c == old else c for a, c in component.items()}
    return tree


def _penalties(domain: Domain, sigma: float) -> dict[Clique, int]:
    """A part of the L1 norm of the noise in a pair's measurement, ``sqrt(2 / pi) * sigma * cells``.

    What many cells tell is lost in their noise: without this, wide columns without structure fill the tree.
    """
    noise = PENALTY * math.sqrt(2 / math.pi) * sigma
    return {pair: round(noise * domain.size(pair)) for pair in itertools.combinations(domain.attributes, 2)}
