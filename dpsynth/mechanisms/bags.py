"""Sets of pairs whose junction tree has small bags. Reads no data: sizes and released scores only.

Attributes are bits of a mask. The tree is that of the elimination order which always takes next the attribute whose bag is
smallest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain


@dataclass(frozen=True)
class Limits:
    """The most cells of one bag, and of all bags together."""

    bag: float
    total: float


class JunctionTree:
    """A graph of attributes, as a junction tree that grows while it keeps its limits."""

    def __init__(self, domain: Domain, limits: Limits) -> None:
        self._domain = domain
        self._limits = limits
        self._logs = [math.log(size) for size in domain.sizes]
        self._graph = [1 << i for i in range(len(domain))]
        self._bags = list(self._graph)
        self._index = {a: i for i, a in enumerate(domain.attributes)}

    @property
    def bags(self) -> list[Clique]:
        """Maximal bags, attributes in the domain's order."""
        return [tuple(self._domain.attributes[i] for i in bits(bag)) for bag in self._bags]

    def holds(self, clique: Iterable[str]) -> bool:
        """Whether the clique lies inside a bag."""
        mask = self._mask(clique)
        return any(mask & bag == mask for bag in self._bags)

    def add(self, clique: Iterable[str]) -> bool:
        """Join the attributes; False, and nothing changes, when the limits would be passed."""
        mask = self._mask(clique)
        if math.fsum(self._logs[i] for i in bits(mask)) > math.log(self._limits.bag) + 1e-9:
            return False
        graph = list(self._graph)
        for i in bits(mask):
            graph[i] |= mask
        if self.holds(clique):
            self._graph = graph
            return True
        bags = eliminated(graph, self._logs, self._limits)
        if bags is None:
            return False
        self._graph, self._bags = graph, bags
        return True

    def _mask(self, clique: Iterable[str]) -> int:
        return sum(1 << self._index[a] for a in clique)


def bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def eliminated(graph: Sequence[int], logs: Sequence[float], limits: Limits) -> list[int] | None:
    """The maximal bags of the greedy elimination order; None when they pass the limits."""
    from dpsynth.mechanisms import (
        bag_loops,
    )  # compiled: of a hundred attributes tens of thousands of graphs are tried

    n = len(graph)
    found = np.zeros((n, n), dtype=np.bool_)
    joined = np.unpackbits(_bytes(graph), axis=1, count=n, bitorder="little").view(np.bool_)
    most = math.log(limits.bag) + 1e-9
    number = bag_loops.eliminate(joined, np.array(logs), most, float(limits.total), found)
    if number < 0:
        return None
    packed = np.packbits(found[:number], axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _bytes(masks: Sequence[int]) -> NDArray[np.uint8]:
    width = (len(masks) + 7) // 8
    whole = b"".join(mask.to_bytes(width, "little") for mask in masks)
    return np.frombuffer(whole, dtype=np.uint8).reshape(len(masks), width)


PATIENCE = 200
"""Refusals in a row after which no further pair is tried."""


def grown(
    domain: Domain, limits: Limits, ranked: Iterable[Clique], begin: Iterable[Clique] = ()
) -> JunctionTree:
    """A tree with `begin`, then each of the ranked cliques that still fits."""
    tree = JunctionTree(domain, limits)
    for clique in begin:
        tree.add(clique)
    refused = 0
    for clique in ranked:
        refused = 0 if tree.add(clique) else refused + 1
        if refused >= PATIENCE:
            break
    return tree


def best_tree(
    domain: Domain, limits: Limits, errors: Mapping[Clique, float], noise: float, begin: Sequence[Clique] = ()
) -> JunctionTree:
    """Of trees grown by ``error - penalty * noise * cells`` for a few penalties, that whose bags hold the most error."""
    trees = []
    for penalty in (0.0, 0.1, 0.3, 1.0):
        worth = {c: error - penalty * noise * domain.size(c) for c, error in errors.items()}
        ranked = sorted((c for c in worth if worth[c] > 0), key=lambda c: -worth[c])
        trees.append(grown(domain, limits, ranked, begin))

    def held(tree: JunctionTree) -> float:
        return math.fsum(error for c, error in errors.items() if error > 0 and tree.holds(c))

    return max(trees, key=held)


def inside(bags: Iterable[Clique], ways: int) -> list[Clique]:
    """All cliques of so many attributes that lie inside a bag, each once."""
    found = dict.fromkeys(c for bag in bags for c in itertools.combinations(bag, ways))
    return list(found)
