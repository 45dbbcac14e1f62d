"""Joint tables: a few tables over several attributes each that show all the marginals asked for, small enough for a cache.

Adding a record to a table costs about the same whether it has two attributes or four, so a table of four serves six pairs
at the price of one. Which attributes go together is a covering problem, solved greedily by measured costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain

CELLS = 1 << 16
"""Of a joint table at most: its counts stay in a core's second cache (256 kB), and 16 bits number its cells."""
ALL_CELLS = 1 << 24
"""Of all joint tables together at most, 64 MB."""

_LOG_CELLS = (12.0, 13.0, 14.0, 15.0, 16.0)
_ADDITION = (0.30, 0.32, 0.40, 0.49, 0.56)
"""Nanoseconds of one addition to a table of so many cells (binary logarithm), measured on one core with L1 of 32 kB."""
_ATTRIBUTE = 0.025
"""Nanoseconds that each attribute adds to the number of a record's cell."""
_CELL = 1.2
"""Nanoseconds to sum a cell out into the marginals."""

Members = NDArray[np.bool_]
Table = NDArray[np.uint32]


@dataclass(frozen=True)
class Joint:
    """A table over `attributes`, by rising number of cells, and the cliques whose marginals are its sums."""

    attributes: Clique
    shows: tuple[Clique, ...]


@lru_cache(maxsize=32)
def joints(domain: Domain, cliques: tuple[Clique, ...], rows: int) -> tuple[Joint, ...]:
    """Tables that show each of the cliques once, at a small cost of counting `rows` records; nothing where these tables
    would take too much memory. Each clique has an attribute or more, each of them once, and at most `CELLS` cells.
    """
    for most in (CELLS, CELLS >> 2):
        cover = _Cover(domain, cliques, rows, most)
        found = list(iter(cover.next, None))
        if sum(domain.size(joint.attributes) for joint in found) <= ALL_CELLS:
            return tuple(found)
    return ()


class _Cover:
    """Greedy: the largest clique left is grown by the attribute that brings the most for its size, as long as that lowers
    the cost of what is shown. A clique weighs the product of its attributes' bits: the room that it takes in a table."""

    def __init__(self, domain: Domain, cliques: Sequence[Clique], rows: int, most: int) -> None:
        self._domain, self._rows, self._most = domain, rows, most
        self._cliques = sorted(cliques, key=domain.size, reverse=True)
        self._names = domain.ordered({a for clique in cliques for a in clique})
        self._sizes = np.array(domain.shape(self._names), dtype=np.int64)
        self._bits = np.log2(np.maximum(self._sizes, 2))
        place = {name: i for i, name in enumerate(self._names)}
        self._inside = np.zeros((len(self._names), len(cliques)), dtype=bool)
        for i, clique in enumerate(self._cliques):
            self._inside[[place[a] for a in clique], i] = True
        self._lengths = self._inside.sum(axis=0, dtype=np.int16)
        self._weights = np.where(self._inside, self._bits[:, None], 1.0).prod(axis=0)
        self._left = np.ones(len(cliques), dtype=bool)
        self._first = 0

    def next(self) -> Joint | None:
        """The next table; None when all cliques are shown."""
        left = np.flatnonzero(self._left[self._first :])
        if not len(left):
            return None
        self._first += int(left[0])
        members = self._grown(self._inside[:, self._first])
        here = np.flatnonzero((self._missing(members) == 0) & self._left)
        self._left[here], self._weights[here] = False, 0.0
        cliques = tuple(self._cliques[i] for i in here)
        names = {a for clique in cliques for a in clique}
        return Joint(tuple(sorted(names, key=lambda a: (self._domain[a], a))), cliques)

    def _missing(self, members: Members) -> NDArray[np.int16]:
        """How many attributes of each clique are not among the members."""
        return np.asarray(self._lengths - self._inside[members].sum(axis=0, dtype=np.int16))

    def _grown(self, seed: Members) -> Members:
        members, missing = seed.copy(), self._missing(seed)
        best, worth = members.copy(), 0.0
        while True:
            value = float(self._weights[missing == 0].sum()) / self._cost(members)
            if value >= worth:
                best, worth = members.copy(), value
            almost = np.flatnonzero((missing == 1) & self._left)
            gain = self._inside[:, almost] @ self._weights[almost]
            fits = int(self._sizes[members].prod()) * self._sizes <= self._most
            gain[members | ~fits] = 0
            if not gain.any():
                return best
            more = int(np.argmax(gain / self._bits))
            members[more] = True
            missing -= self._inside[more]

    def _cost(self, members: Members) -> float:
        """Nanoseconds a row."""
        cells = int(self._sizes[members].prod())
        addition = float(np.interp(np.log2(cells), _LOG_CELLS, _ADDITION))
        return addition + _ATTRIBUTE * np.count_nonzero(members) + _CELL * cells / self._rows


def shown(domain: Domain, joint: Joint, table: Table) -> Iterator[tuple[Clique, Table]]:
    """The cliques' own flat tables, from the joint one. Its counts add up to less than ``2**32``."""
    yield from _sums(table.reshape(domain.shape(joint.attributes)), joint.attributes, joint.shows)


def _sums(table: Any, attributes: Clique, wanted: Sequence[Clique]) -> Iterator[tuple[Clique, Table]]:
    """Sums over one attribute after the other, so that most of them are over tables that are smaller already."""
    needed = {a for clique in wanted for a in clique}
    spare = tuple(i for i, a in enumerate(attributes) if a not in needed)
    if spare:
        table = table.sum(axis=spare, dtype=np.uint32)
        attributes = tuple(a for a in attributes if a in needed)
    apart = [a for a in attributes if any(a not in clique for clique in wanted)]
    if not apart:
        for clique in wanted:
            yield (
                clique,
                np.ascontiguousarray(table.transpose([attributes.index(a) for a in clique])).reshape(-1),
            )
        return
    split = apart[-1]
    yield from _sums(table, attributes, [c for c in wanted if split not in c])
    yield from _sums(table, attributes, [c for c in wanted if split in c])
