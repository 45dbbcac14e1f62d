"""The memory engine: bounds each unit's records, flips the hold-out coins, counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.counting import count_each
from dpsynth.domain import Clique, Domain
from dpsynth.engines.base import Counts, Drawn
from dpsynth.engines.bounding import first_of_each
from dpsynth.engines.coins import check_split, coins_of, ranks, row_coins, unit_words
from dpsynth.engines.raw import RawColumn
from dpsynth.entropy import Stream
from dpsynth.measurement import Merges
from dpsynth.records import Records
from dpsynth.unit_names import UnitNames

PART = 1 << 13
"""Units whose coins are thrown at once."""


@dataclass(frozen=True, eq=False)
class Bounded:
    """Which raw rows take part: row numbers, ascending. Private."""

    training: NDArray[np.int64]
    holdout: NDArray[np.int64]


def bound_and_split(
    records: Records,
    units: Sequence[bytes] | None,
    *,
    rows_per_unit: int,
    holdout: float,
    run_key: bytes,
) -> Bounded:
    """Choose at most `rows_per_unit` records of each unit, then send each unit to training or hold-out.

    `units[i]` is the identity of row i's unit; None makes every row a unit of its own. Records of a unit are
    ranked by sha256(run key || unit || encoded record) and the first stay, so the choice depends neither on
    the row order nor on the engine; equal records tie, and which of them stays makes no difference. A unit is
    held out when its own keyed coin falls below `holdout` (in [0, 1)). Both bits are secret: `run_key` is 32
    bytes from the operating system, new for each run.
    """
    check_split(run_key, holdout)
    if units is None:
        if rows_per_unit != 1:
            raise ValueError("without a unit column every row is a unit: rows_per_unit is 1")
        held = row_coins(0, len(records), run_key) < holdout
        rows = np.arange(len(records), dtype=np.int64)
    else:
        held_of, rows = _bound(records, UnitNames.of(units), rows_per_unit, run_key, holdout)
        held = held_of[rows]
    return Bounded(training=rows[~held], holdout=rows[held])


def _bound(
    records: Records, units: UnitNames, rows_per_unit: int, run_key: bytes, holdout: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which rows belong to held-out units (a mask over all rows), and the rows kept, ascending."""
    if len(units) != len(records):
        raise ValueError("one unit for each record")
    words = unit_words(units, run_key)
    held = (coins_of(words[:, 0]) < holdout)[units.codes]
    ranked = ranks(units, records, np.arange(len(records), dtype=np.int64), run_key)
    names = words[units.codes]
    kept, _ = first_of_each((names[:, 1], names[:, 2]), (ranked[:, 0], ranked[:, 1]), rows_per_unit)
    return held, np.sort(kept)


@dataclass(frozen=True, eq=False)
class MemoryEngine:
    """Counts over records that are already bounded; refuses to be pickled or copied.

    `rows_per_unit` states the bound that `bound_and_split` enforced on `records`; `units` numbers the unit of each
    record (None: every record is one). Counts are remembered:
    a mechanism that chooses round by round asks for the same cliques again. `raw`: columns whose domain is still unknown,
    of the same rows.
    """

    records: Records
    rows_per_unit: int
    units: NDArray[np.int64] | None = None
    raw: Mapping[str, RawColumn] = field(default_factory=dict, repr=False)
    _known: dict[Clique, Counts] = field(default_factory=dict, repr=False)

    @property
    def domain(self) -> Domain:
        return self.records.domain

    def marginals(self, cliques: Sequence[Clique]) -> Mapping[Clique, Counts]:
        for clique, counts in count_each(self.records, (c for c in cliques if c not in self._known)).items():
            counts.setflags(write=False)
            self._known[clique] = counts
        return {clique: self._known[clique] for clique in cliques}

    def units_with(self, column: str) -> Mapping[str, int]:
        return self.raw[column].units_with(self._unit_of_each)

    def units_between(self, column: str, edges: Sequence[float]) -> Counts:
        return self.raw[column].units_between(self._unit_of_each, edges)

    @property
    def _unit_of_each(self) -> NDArray[np.int64]:
        return np.arange(len(self.records), dtype=np.int64) if self.units is None else self.units

    def merged(self, merges: Merges) -> MemoryEngine:
        columns: dict[str, NDArray[Any]] = {a: self.records[a] for a in self.domain.attributes}
        sizes = dict(zip(self.domain.attributes, self.domain.sizes, strict=True))
        for attribute, cells in merges.items():
            columns[attribute] = np.take(cells, columns[attribute])
            sizes[attribute] = int(cells.max()) + 1
        return MemoryEngine(Records.of(Domain.from_sizes(sizes), columns), self.rows_per_unit, self.units)

    def unit_sizes(self) -> Counts:
        """As the protocol says. ValueError for a unit with more records than the bound that this engine states."""
        if self.units is None and self.rows_per_unit != 1:
            raise ValueError("sizes of units need each record's unit")
        held = np.diff(self._by_unit[1])
        if held.max(initial=0) > self.rows_per_unit:
            raise ValueError("a unit has more records than its bound")
        return np.bincount(held, minlength=self.rows_per_unit + 1)[1:].astype(np.int64)

    def poisson_batches(self, rate: float, steps: int, stream: Stream) -> Iterator[Iterator[Drawn]]:
        """As the protocol says; exact coins: a 64-bit word below ``rate * 2**64``, rounded down."""
        if not 0 < rate <= 1:
            raise ValueError("a rate lies in (0, 1]")
        if self.units is None and self.rows_per_unit != 1:
            raise ValueError("batches of units need each record's unit")
        return (self._batch(int(Fraction(rate) * 2**64), stream) for _ in range(steps))

    def _batch(self, heads_below: int, stream: Stream) -> Iterator[Drawn]:
        """Coins of `PART` units at a time."""
        order, starts = self._by_unit
        for first in range(0, max(len(starts) - 1, 1), PART):
            bounds = starts[first : first + PART + 1]
            coins = stream.words(max(len(bounds) - 1, 0))
            heads = np.full(len(coins), True) if heads_below >> 64 else coins < np.uint64(heads_below)
            taken = np.repeat(heads, np.diff(bounds))
            rows = order[bounds[0] : bounds[-1]][taken]
            numbers = np.repeat(np.arange(first, first + len(coins), dtype=np.int64), np.diff(bounds))
            yield Drawn(self.records.take(rows), numbers[taken])

    @cached_property
    def _by_unit(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row numbers sorted by unit, and where each unit's begin, with the end."""
        rows = len(self.records)
        if self.units is None:
            return np.arange(rows, dtype=np.int64), np.arange(rows + 1, dtype=np.int64)
        if len(self.units) != rows:
            raise ValueError("one unit for each record")
        order = np.argsort(self.units, kind="stable")
        begins = np.flatnonzero(
            np.diff(self.units[order], prepend=-1 if rows == 0 else self.units[order[0]] - 1)
        )
        return order, np.append(begins, rows).astype(np.int64)

    def __reduce__(self) -> str:
        raise TypeError("an engine holds private rows: it cannot be pickled or copied")
