"""Tables of how many records have which cells. Knows nothing of privacy: whose records they are decides who may ask."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth import counting_packs as packs
from dpsynth.domain import Clique
from dpsynth.records import Codes, Records

Counts = NDArray[np.int64]

UNCOMPILED = 1 << 27
"""Rows and cells that NumPy may look up in a process before the compiled loops are loaded: they are several times
quicker, but loading them takes as long as this many. The counts are the same."""

PACKED_ROWS = 1 << 17
"""Fewer rows are counted pair by pair: adding up the cells of larger tables would cost as much."""


def count(records: Records, clique: Clique) -> Counts:
    """Records by cell, shape ``domain.shape(clique)``. ValueError for a code outside its domain."""
    out = np.zeros(records.domain.size(clique), dtype=np.int64)
    _add(records, clique, np.int64(1), out)
    return out.reshape(records.domain.shape(clique))


def count_each(records: Records, cliques: Iterable[Clique]) -> dict[Clique, Counts]:
    """`count` of each; of many records and pairs in fewer passes."""
    tables = {clique: np.zeros(records.domain.size(clique), dtype=np.int64) for clique in cliques}
    tally(records, tables)
    return {clique: table.reshape(records.domain.shape(clique)) for clique, table in tables.items()}


def tally(records: Records, tables: Mapping[Clique, Counts]) -> None:
    """Add the records to flat tables of counts, each of shape ``(domain.size(clique),)``."""
    packed = _tally_packed(records, tables) if len(records) >= PACKED_ROWS else set()
    for clique, out in tables.items():
        if clique not in packed:
            _add(records, clique, np.int64(1), out)


def _tally_packed(records: Records, tables: Mapping[Clique, Counts]) -> set[Clique]:
    """Adds the records to those tables of pairs that are sums of a table over two packs of attributes; says which."""
    domain = records.domain
    pairs = tuple(c for c in tables if len(c) == len(set(c)) == 2)
    together = packs.pairs_by_packs(domain, pairs)
    for attribute in {a for one, two in together for a in (*one, *two)}:
        _require_inside(records, (attribute,))
    as_bytes = packs.packed(records, (pack for key in together for pack in key))
    for (one, two), seen in together.items():
        clique = tuple(packs.name(pack) for pack in dict.fromkeys((one, two)))
        table = np.zeros(as_bytes.domain.size(clique), dtype=np.int64)
        _add(as_bytes, clique, np.int64(1), table)
        for pair, counts in packs.seen(domain, one, two, table, seen):
            tables[pair][:] += counts
    return {pair for seen in together.values() for pair in seen}


def weigh(records: Records, cliques: Iterable[Clique], weight: float) -> dict[Clique, NDArray[np.float64]]:
    """`weight` times the number of records by cell, for each clique. Cells without records take no memory."""
    found = {}
    for clique in cliques:
        out = np.zeros(records.domain.size(clique))
        _add(records, clique, np.float64(weight), out)
        found[clique] = out.reshape(records.domain.shape(clique))
    return found


def _add(records: Records, clique: Clique, weight: Any, out: NDArray[Any]) -> None:
    _require_inside(records, clique)
    if out.dtype == np.int64 and _Loops.not_worth(len(records) * len(clique) + len(out)):
        out += np.bincount(_places(records, clique, np.intp), minlength=len(out))
        return
    from dpsynth import counting_loops

    sizes = records.domain.shape(clique)
    match _alike([records[a] for a in clique]):
        case [one]:
            counting_loops.add_1(one, weight, out)
        case [one, two]:
            counting_loops.add_2(one, two, sizes[1], weight, out)
        case [one, two, three]:
            counting_loops.add_3(one, two, three, sizes[1], sizes[2], weight, out)
        case _:
            index = _places(records, clique, np.uint32 if len(out) < 1 << 32 else np.uint64)
            counting_loops.add_1(index, weight, out)


def _require_inside(records: Records, clique: Clique) -> None:
    if any(len(records[a]) and records[a].max() >= records.domain[a] for a in clique):
        raise ValueError("a code lies outside its attribute's domain")


class _Loops:
    """Whether the compiled loops are worth loading."""

    looked_up = 0

    @classmethod
    def not_worth(cls, more: int) -> bool:
        """For so many lookups more; once loaded they are used for everything."""
        cls.looked_up += more
        return cls.looked_up <= UNCOMPILED and "dpsynth.counting_loops" not in sys.modules


def _places(records: Records, clique: Clique, kind: type[Any]) -> NDArray[Any]:
    """The rows' cells, numbered in the order of a flat table."""
    places = records[clique[0]].astype(kind) if clique else np.zeros(len(records), dtype=kind)
    for attribute in clique[1:]:
        np.multiply(places, records.domain[attribute], out=places)
        np.add(places, records[attribute], out=places, casting="unsafe")
    return places


def _alike(columns: list[Codes]) -> list[Codes]:
    """All of one type, the widest: the loops are compiled once for each."""
    widest = max((c.dtype for c in columns), key=lambda kind: kind.itemsize, default=np.dtype(np.uint8))
    return [c.astype(widest, copy=False) for c in columns]
