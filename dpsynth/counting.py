"""Tables of how many records have which cells. Knows nothing of privacy: whose records they are decides who may ask."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.counting_joints import CELLS, Joint, joints, shown
from dpsynth.domain import Clique, Domain
from dpsynth.records import Codes, Records

Counts = NDArray[np.int64]
Small = NDArray[np.uint32]
Kind = type[np.unsignedinteger[Any]] | type[np.signedinteger[Any]]

UNCOMPILED = 1 << 27
"""Rows and cells that NumPy may look up in a process before the compiled loops are loaded: they are several times
quicker, but loading them takes as long as this many. The counts are the same."""

JOINED_ROWS = 1 << 18
"""Fewer rows are counted clique by clique: choosing joint tables and adding up their cells would cost as much."""
BLOCK = 1 << 19
"""Rows whose cells are numbered together."""
MOST = (1 << 32) - 1
"""Rows that joint tables, of 32 bits a cell, hold at most."""


def count(records: Records, clique: Clique) -> Counts:
    """Records by cell, shape ``domain.shape(clique)``. ValueError for a code outside its domain."""
    return count_each(records, [clique])[clique]


def count_each(records: Records, cliques: Iterable[Clique]) -> dict[Clique, Counts]:
    """`count` of each; of many records and cliques in fewer passes."""
    tables = {clique: np.zeros(records.domain.size(clique), dtype=np.int64) for clique in cliques}
    tally = Tally(records.domain, tables, len(records))
    tally.add(records)
    tally.close()
    return {clique: table.reshape(records.domain.shape(clique)) for clique, table in tables.items()}


def weigh(records: Records, cliques: Iterable[Clique], weight: float) -> dict[Clique, NDArray[np.float64]]:
    """`weight` times the number of records by cell, for each clique. Cells without records take no memory."""
    from dpsynth import counting_loops

    found = {}
    for clique in cliques:
        _require_inside(records, clique)
        out = np.zeros(records.domain.size(clique))
        for part in _blocks(records):
            counting_loops.add(_numbered(part, clique, _wide(len(out))), np.float64(weight), out)
        found[clique] = out.reshape(records.domain.shape(clique))
    return found


class Tally:
    """Adds records, chunk by chunk, to flat tables of counts, each of shape ``(domain.size(clique),)``; `close` ends it.

    From `JOINED_ROWS` records on they are counted in joint tables, which are summed out in the end.
    """

    def __init__(self, domain: Domain, tables: Mapping[Clique, Counts], rows: int = 0) -> None:
        """`rows`: about how many will come, as far as that is known."""
        self._domain, self._tables, self._expected, self._rows = domain, tables, rows, 0
        self._attributes = domain.ordered({a for clique in tables for a in clique})
        self._alone, self._joint = list(tables), dict[Joint, Small]()
        self._chosen, self._held = False, 0

    def add(self, records: Records) -> None:
        """ValueError for a code outside its domain: nothing of these records is counted then."""
        _require_inside(records, self._attributes)
        self._rows += len(records)
        if not self._chosen and max(self._rows, self._expected) >= JOINED_ROWS:
            self._join()
        for part in _blocks(records):
            for clique in self._alone:
                _add(part, clique, self._tables[clique], _wide(len(self._tables[clique])))
            if self._held + len(part) > MOST:
                self.close()
            for joint, table in self._joint.items():
                _add(part, joint.attributes, table, np.uint16)
            self._held += len(part)

    def close(self) -> None:
        """What the joint tables hold goes to the cliques' own."""
        for joint, table in self._joint.items():
            for clique, counts in shown(self._domain, joint, table):
                self._tables[clique][:] += counts
            table[:] = 0
        self._held = 0

    def _join(self) -> None:
        """Chooses joint tables for the cliques that have not many cells."""
        small = [c for c in self._tables if c and len(c) == len(set(c)) and self._domain.size(c) <= CELLS]
        rows = max(self._rows, self._expected)
        for joint in joints(self._domain, tuple(small), 1 << rows.bit_length()):
            self._joint[joint] = np.zeros(self._domain.size(joint.attributes), dtype=np.uint32)
        self._chosen = True
        here = {clique for joint in self._joint for clique in joint.shows}
        self._alone = [clique for clique in self._tables if clique not in here]


def _blocks(records: Records) -> Iterator[Records]:
    for first in range(0, len(records), BLOCK):
        yield records.take(slice(first, first + BLOCK))


def _wide(cells: int) -> Kind:
    return np.uint32 if cells <= 1 << 32 else np.uint64


def _add(records: Records, clique: Clique, out: NDArray[Any], kind: Kind) -> None:
    """One more in the cell of each record. `kind`: of the numbers of cells."""
    if _Loops.not_worth(len(records) * len(clique) + len(out)):
        found = np.bincount(_reckoned(records, clique, np.intp), minlength=len(out))
        np.add(out, found, out=out, casting="unsafe")
        return
    from dpsynth import counting_loops

    places = _numbered(records, clique, kind)
    if kind is np.uint16:
        fours = len(places) // 4 * 4
        counting_loops.add_fours(places[:fours].view(np.uint64), out)
        places = places[fours:]
    counting_loops.add(places, out.dtype.type(1), out)


def _require_inside(records: Records, attributes: Iterable[str]) -> None:
    if any(len(records[a]) and records[a].max() >= records.domain[a] for a in attributes):
        raise ValueError("a code lies outside its attribute's domain")


class _Loops:
    """Whether the compiled loops are worth loading."""

    looked_up = 0

    @classmethod
    def not_worth(cls, more: int) -> bool:
        """For so many lookups more; once loaded they are used for everything."""
        cls.looked_up += more
        return cls.looked_up <= UNCOMPILED and "dpsynth.counting_loops" not in sys.modules


def _numbered(records: Records, clique: Clique, kind: Kind) -> NDArray[Any]:
    """The records' cells, numbered in the order of a flat table."""
    from dpsynth import counting_loops as loops

    if not 2 <= len(clique) <= 4:
        return _reckoned(records, clique, kind)
    places = np.empty(len(records), dtype=kind)
    sizes = [np.int64(size).astype(kind) for size in records.domain.shape(clique[1:])]
    loop = {2: loops.place_2, 3: loops.place_3, 4: loops.place_4}[len(clique)]
    loop(*_alike([records[a] for a in clique]), *sizes, places)
    return places


def _reckoned(records: Records, clique: Clique, kind: Kind) -> NDArray[Any]:
    """The same, one attribute after the other."""
    places = records[clique[0]].astype(kind) if clique else np.zeros(len(records), dtype=kind)
    for attribute in clique[1:]:
        np.multiply(places, np.int64(records.domain[attribute]).astype(kind), out=places)
        np.add(places, records[attribute], out=places, casting="unsafe")
    return places


def _alike(columns: list[Codes]) -> list[Codes]:
    """All of one type, the widest: the loops are compiled once for each."""
    widest = max((c.dtype for c in columns), key=lambda kind: kind.itemsize)
    return [c.astype(widest, copy=False) for c in columns]
