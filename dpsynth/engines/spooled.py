"""The engine for tables larger than memory: spooled records, counted chunk by chunk, the same integers as in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dpsynth.counting import Tally
from dpsynth.domain import Clique, Domain
from dpsynth.engines.base import Counts, Drawn
from dpsynth.engines.raw import RawColumn
from dpsynth.engines.spool import CHUNK, Column, Spool
from dpsynth.engines.unknown import Unknown, places
from dpsynth.entropy import Stream
from dpsynth.measurement import Merges
from dpsynth.records import Codes, Records, code_dtype
from dpsynth.schema import Schema


@dataclass(frozen=True, eq=False)
class SpoolEngine:
    """Counts over bounded training records on disk. All cliques of a question are counted in one pass.

    `sizes`: how many records each unit has, in the order in which its records stand together in `spool`; None: every record
    is a unit. Counts are remembered, as in memory. `unknown`: columns that are to be discovered, among the spooled ones.
    """

    spool: Spool
    rows_per_unit: int
    sizes: Column | None = None
    merges: Merges = field(default_factory=dict)
    unknown: Unknown | None = field(default=None, repr=False)
    _known: dict[Clique, Counts] = field(default_factory=dict, repr=False)

    @cached_property
    def domain(self) -> Domain:
        whole = dict(zip(self.spool.domain.attributes, self.spool.domain.sizes, strict=True))
        return Domain.from_sizes({**whole, **{a: int(cells.max()) + 1 for a, cells in self.merges.items()}})

    def marginals(self, cliques: Sequence[Clique]) -> Mapping[Clique, Counts]:
        asked = {c: np.zeros(self.domain.size(c), np.int64) for c in cliques if c not in self._known}
        if asked:
            read = self.domain.ordered({a for clique in asked for a in clique})
            tally = Tally(self.domain, asked, len(self.spool))
            for records in self._chunks(read or self.domain.attributes[:1]):
                tally.add(records)
            tally.close()
        for clique, flat in asked.items():
            self._known[clique] = flat.reshape(self.domain.shape(clique))
            self._known[clique].setflags(write=False)
        return {clique: self._known[clique] for clique in cliques}

    def units_with(self, column: str) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for raw, units in self._raw(column):
            found.update(raw.units_with(units))
        return dict(found)

    def units_between(self, column: str, edges: Sequence[float]) -> Counts:
        found = np.zeros(max(0, len(edges) - 2) + 1, np.int64)
        for raw, units in self._raw(column):
            found += raw.units_between(units, edges)
        return found

    def _raw(self, column: str) -> Iterator[tuple[RawColumn, NDArray[np.int64]]]:
        """A column that is to be discovered in parts of whole units, one at least, and the number of each row's unit."""
        if self.unknown is None:
            raise ValueError("nothing is to be discovered")
        for records, units in self._by_unit(places(self.unknown, column)):
            yield self.unknown.raw(column, records), units

    def recoded(self, schema: Schema) -> SpoolEngine:
        """The same records under a schema that knows what was to be discovered; known columns stay where they are.

        CapacityError C170 when the disk is full: the answers have been paid for."""
        if self.unknown is None or self.merges:
            raise ValueError("nothing is to be discovered, or cells are merged already")
        domain, spool = schema.domain, self.spool
        here = {a: spool.column(a) for a in domain.attributes if a in spool.domain}
        whole = Spool(domain, spool.folder, here, paid=True)
        for name in self.unknown.schema.unknown:
            encoded = self.unknown.encoder(schema, name)
            for records in spool.chunks(places(self.unknown, name)):
                whole.column(name).append(encoded(records))
        return SpoolEngine(whole, self.rows_per_unit, self.sizes)

    def merged(self, merges: Merges) -> SpoolEngine:
        """ValueError for a second merging."""
        if self.merges:
            raise ValueError("already merged: merge the original cells")
        return SpoolEngine(self.spool, self.rows_per_unit, self.sizes, dict(merges))

    def unit_sizes(self) -> Counts:
        """As the protocol says. ValueError for a unit with more records than the bound that this engine states."""
        found = np.zeros(self.rows_per_unit + 1, np.int64)
        if self.sizes is None:
            found[1] = len(self.spool)
            return found[1:]
        for first in range(0, len(self.sizes), CHUNK):
            held = np.bincount(self.sizes.read(first, CHUNK), minlength=self.rows_per_unit + 1)
            if len(held) > len(found):
                raise ValueError("a unit has more records than its bound")
            found += held
        return found[1:]

    def poisson_batches(self, rate: float, steps: int, stream: Stream) -> Iterator[Iterator[Drawn]]:
        """As the protocol says; exact coins: a 64-bit word below ``rate * 2**64``, rounded down."""
        if not 0 < rate <= 1:
            raise ValueError("a rate lies in (0, 1]")
        return (self._batch(int(Fraction(rate) * 2**64), stream) for _ in range(steps))

    def _batch(self, heads_below: int, stream: Stream) -> Iterator[Drawn]:
        """Coins of a chunk of units at a time; a pass over the files, of which nothing but the units drawn is kept."""
        row = 0
        for first, sizes in self._unit_parts():
            coins = stream.words(len(sizes))
            heads = np.full(len(coins), True) if heads_below >> 64 else coins < np.uint64(heads_below)
            rows = int(sizes.sum())
            taken = np.repeat(heads, sizes)
            numbers = np.repeat(np.arange(first, first + len(sizes), dtype=np.int64), sizes)
            yield Drawn(self._part(self.domain.attributes, row, rows).take(taken), numbers[taken])
            row += rows

    def _by_unit(self, attributes: Sequence[str]) -> Iterator[tuple[Records, NDArray[np.int64]]]:
        """All records in parts of whole units, and the number of each one's unit within its part."""
        row = 0
        for _, sizes in self._unit_parts():
            rows = int(sizes.sum())
            yield self._part(attributes, row, rows), np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
            row += rows

    def _unit_parts(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The number of the first unit of each part, and how many records each of its units has; one part at least."""
        units = len(self.spool) if self.sizes is None else len(self.sizes)
        part = max(1, CHUNK // self.rows_per_unit)
        for first in range(0, max(units, 1), part):
            count = min(part, units - first)
            yield (
                first,
                np.ones(count, np.int64)
                if self.sizes is None
                else self.sizes.read(first, part).astype(np.int64),
            )

    def _chunks(self, attributes: Sequence[str]) -> Iterator[Records]:
        for first in range(0, len(self.spool), CHUNK):
            yield self._part(attributes, first, CHUNK)

    def _part(self, attributes: Sequence[str], first: int, rows: int) -> Records:
        read = self.spool.part(attributes, first, rows)
        if not self.merges:
            return read
        columns = tuple(self._merged(a, codes) for a, codes in zip(attributes, read.columns, strict=True))
        return Records(self.domain.project(attributes), columns)

    def _merged(self, attribute: str, codes: Codes) -> Codes:
        if attribute not in self.merges:
            return codes
        cells = np.asarray(self.merges[attribute])
        return np.take(cells.astype(code_dtype(int(cells.max()) + 1)), codes)

    def __reduce__(self) -> str:
        raise TypeError("an engine holds private rows: it cannot be pickled or copied")
