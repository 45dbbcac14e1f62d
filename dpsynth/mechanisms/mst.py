"""MST: a maximum spanning tree of pairs, chosen privately (McKenna, Miklau and Sheldon 2021).

One-way marginals first; then, edge by edge, the pair between two components whose marginal is furthest from
independence; then all chosen pairs at one noise scale. How the cost is split depends on the cost alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import oneway
from dpsynth.mechanisms.base import Fit
from dpsynth.pgm import GraphicalModel
from dpsynth.privacy import sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge

SELECT, PAIRS = "mst: choose a pair", "mst: chosen pairs"

CHOICE_SHARE = 0.2
"""Of what the one-way marginals leave, for all choices together."""


@dataclass(frozen=True)
class _Split:
    """Costs of the stages; `choice` is that of one round."""

    oneway: Cost
    choice: Cost | None
    rounds: int
    pairs: Cost | None


class Mst:
    """Noisy one-way marginals and a spanning tree of noisy two-way marginals."""

    name: ClassVar[str] = "mst"

    def plan(self, domain: Domain, cost: Cost, rows_per_unit: int) -> tuple[Charge, ...]:
        """One-ways, a choice per edge, all chosen pairs; a single attribute has the one-way only."""
        split = _split(domain, cost, rows_per_unit)
        charges = [oneway.charge(domain, split.oneway, rows_per_unit)]
        if split.choice is not None:
            choice = Charge(SELECT, sensitivity.select_event(split.choice))
            charges += [choice] * split.rounds
        if split.pairs is not None:
            event = sensitivity.measure_event(split.pairs, rows_per_unit, [1.0] * (len(domain) - 1))
            charges.append(Charge(PAIRS, event))
        return tuple(charges)

    def measure(self, curator: Curator, cost: Cost, fit: Fit) -> list[Measurement]:
        domain = curator.domain
        split = _split(domain, cost, curator.rows_per_unit)
        found = oneway.measure(curator, split.oneway)
        if split.pairs is None:
            return found
        tree = _choose(curator, fit(domain, found), split)
        return found + curator.measure(tree, split.pairs, PAIRS)


def _split(domain: Domain, cost: Cost, rows_per_unit: int) -> _Split:
    edges = len(domain) - 1
    if not edges:
        return _Split(cost, None, 0, None)
    share = oneway_share(cost, rows_per_unit)
    rest = cost.share(1 - share)
    if edges == 1:
        return _Split(cost.share(share), None, 0, rest)
    choice = rest.share(CHOICE_SHARE / edges)
    return _Split(cost.share(share), choice, edges, rest.share(1 - CHOICE_SHARE))


def oneway_share(cost: Cost, rows_per_unit: int) -> float:
    """The smaller the budget of a row, the more of it goes to the one-way marginals: 10 to 40 %."""
    per_row = cost.rho / rows_per_unit**2
    return min(0.4, max(0.1, 0.1 * math.pow(per_row, -0.155)))


def _choose(curator: Curator, independent: GraphicalModel, split: _Split) -> list[Clique]:
    """The spanning tree: each round one pair that joins two components, the worst explained so far."""
    domain = curator.domain
    if split.choice is None:
        return [domain.attributes]
    estimates = _products(domain, independent)
    component = {a: i for i, a in enumerate(domain.attributes)}
    tree: list[Clique] = []
    for _ in range(split.rounds):
        open_pairs = {p: e for p, e in estimates.items() if component[p[0]] != component[p[1]]}
        pair = curator.select(open_pairs, split.choice, SELECT)
        tree.append(pair)
        old, new = component[pair[0]], component[pair[1]]
        component = {a: new if c == old else c for a, c in component.items()}
    return tree


def _products(domain: Domain, independent: GraphicalModel) -> dict[Clique, NDArray[np.float64]]:
    """Every pair's expected counts under independence."""
    ones = {a: independent.marginal((a,)) for a in domain.attributes}
    pairs: Sequence[tuple[str, str]] = list(itertools.combinations(domain.attributes, 2))
    return {(a, b): np.outer(ones[a], ones[b]) / independent.total for a, b in pairs}
