"""How large a model becomes when one more clique is measured: from sizes and past choices alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dpsynth.domain import Clique, Domain
from dpsynth.mechanisms.bags import Limits, bits, eliminated


class Room:
    """The cells of a junction tree over the cliques measured so far, and whether one more fits.

    Reads no data: what fits depends on sizes and on what was chosen before.
    """

    def __init__(self, domain: Domain, cliques: Iterable[Clique] = ()) -> None:
        self._index = {a: i for i, a in enumerate(domain.attributes)}
        self._logs = [math.log(size) for size in domain.sizes]
        self._graph = [1 << i for i in range(len(domain))]
        self._bags = list(self._graph)
        self._too_large: dict[int, float] = {}
        for clique in cliques:
            self.add(clique)

    @property
    def cells(self) -> float:
        """Of all maximal bags."""
        return math.fsum(math.exp(min(self._size(bag), 700.0)) for bag in self._bags)

    def add(self, clique: Clique) -> None:
        """Measure one more."""
        mask = self._mask(clique)
        self._graph = self._joined(mask)
        if not self._holds(mask):
            found = eliminated(self._graph, self._logs, Limits(math.inf, math.inf))
            assert found is not None, "nothing is too large without a limit"
            self._bags = found

    def fits(self, cliques: Iterable[Clique], limit: float) -> list[Clique]:
        """Those with any one of which the tree keeps the limit; what lies inside a bag always fits.

        Putting all attributes of a clique but its largest into every bag makes a tree too, which bounds the growth. A tree
        only grows: a clique that was too large for a limit is not looked at again below it.
        """
        cells = self.cells
        return [clique for clique in cliques if self._fits(self._mask(clique), cells, limit)]

    def _fits(self, mask: int, cells: float, limit: float) -> bool:
        largest = max(self._logs[i] for i in bits(mask))
        if cells * math.exp(self._size(mask) - largest) <= limit or self._holds(mask):
            return True
        if self._too_large.get(mask, 0.0) >= limit:
            return False
        if eliminated(self._joined(mask), self._logs, Limits(limit, limit)) is not None:
            return True
        self._too_large[mask] = limit
        return False

    def _holds(self, mask: int) -> bool:
        return any(mask & bag == mask for bag in self._bags)

    def _joined(self, mask: int) -> list[int]:
        return [adjacent | mask if mask >> i & 1 else adjacent for i, adjacent in enumerate(self._graph)]

    def _mask(self, clique: Clique) -> int:
        return sum(1 << self._index[a] for a in clique)

    def _size(self, mask: int) -> float:
        return math.fsum(self._logs[i] for i in bits(mask))
