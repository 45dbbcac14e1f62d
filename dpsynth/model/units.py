"""Synthetic units: how many rows each has, what stays the same in all of them, and their order.

A unit is drawn in three steps, all from released facts. Its *size* comes from the released histogram. Its *static* cells
are those of a record of the model. If rows are *ordered*, it gets as many different cells of that column as it has rows.
Then every row is completed by the model given these cells, independently of the unit's other rows: what a row says, and how
that hangs together with the static columns, is exactly what the model says. Three things are not modelled: that sizes may
depend on the static columns, that two rows of a unit may resemble each other beyond what static columns and order explain,
and that the order's cells may depend on the static ones, beyond what rules between them forbid (`places`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints.sequences import Sequences
from dpsynth.domain import Domain
from dpsynth.errors import UsageError
from dpsynth.evidence import Evidence
from dpsynth.model.places import Barred, Places, barred_by, meets
from dpsynth.model.sequencing import Sequenced
from dpsynth.model.supply import Supply
from dpsynth.model.thinning import thinned_batches
from dpsynth.persons import UnitSizes, sizes_for, sizes_of
from dpsynth.pgm.completing import Impossible, complete
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table

Floats = NDArray[np.float64]
Index = NDArray[np.int64]

BATCH = 1 << 18
"""About so many rows of whole units are drawn together. Part of what a seed means."""

RAKED = 60
"""Rounds of raking; the inclusion probabilities of a few rows change by less than 1e-6 then."""

_GOLDEN = (np.sqrt(5) - 1) / 2


class Generator(Protocol):
    """What is needed of the model."""

    @property
    def domain(self) -> Domain: ...

    @property
    def total(self) -> float: ...

    def marginal(self, clique: tuple[str, ...]) -> Floats: ...

    def sample(self, n: int, rng: np.random.Generator) -> Records: ...

    def sample_batches(self, n: int, rng: np.random.Generator) -> Iterator[Records]: ...

    def conditioned(self, weights: Mapping[str, Floats]) -> Any: ...


@dataclass(frozen=True, eq=False)
class Drawn:
    """Records of whole units; `unit` is each record's unit, numbered from 0, ascending, a unit's records together.

    `first_row`: how many records there were before. `exact`: steps of columns that advance from row to row. `again`: other
    units, of given sizes, in any order.
    """

    records: Records
    unit: Index
    first_row: int
    exact: Mapping[str, Index] = field(default_factory=dict)
    again: Callable[[Index, np.random.Generator], Drawn] | None = None


@dataclass(frozen=True, eq=False)
class Counts:
    """How many synthetic units have 1, 2, ... rows, shape (most,)."""

    by_size: Index

    @property
    def units(self) -> int:
        return int(self.by_size.sum())

    @property
    def rows(self) -> int:
        return int(self.by_size @ np.arange(1, len(self.by_size) + 1))


@dataclass(frozen=True, eq=False)
class Units:
    """How the rows of synthetic units are drawn. `given`: the model that they follow, which is `model` under the evidence
    `weights`, if there is any."""

    schema: Schema
    sizes: UnitSizes
    model: Generator
    given: Generator
    weights: Mapping[str, Floats]

    @classmethod
    def of(
        cls, schema: Schema, sizes: UnitSizes, model: Generator, given: Generator, evidence: Evidence | None
    ) -> Units:
        return cls(schema, sizes, model, given, {} if evidence is None else evidence.weights)

    @property
    def static(self) -> tuple[str, ...]:
        return self.given.domain.ordered(self.schema.unit.static)

    def shares(self) -> Floats:
        """Of units with 1, 2, ... rows. Where the evidence is about the rows, and not about static columns alone, a row
        of a unit meets it with some probability: the model's, averaged over units."""
        kept = 1.0
        if set(self.weights) - set(self.static):
            about = {a: w for a, w in self.weights.items() if a in self.static}
            whole = self.model.conditioned(about).total if about else self.model.total
            kept = min(1.0, self.given.total / whole)
        shares = self.sizes.thinned(kept)
        if self.schema.unit.order is not None:
            most = int((self.given.marginal((self.schema.unit.order,)) > 0).sum())
            if most < len(shares):
                shares = np.append(shares[: most - 1], shares[most - 1 :].sum())
        return within_sizes(shares, *self.rules.sizes) if self.rules else shares

    def counts(self, rows: int | None, units: int | None) -> Counts:
        """Units of each size that make so many rows (without numbers: as many as the model expects), or so many units.

        UsageError U258 for both.
        """
        if rows is not None and units is not None:
            raise UsageError("U258", "a number of rows and a number of units", "give one of the two")
        if units is not None:
            return Counts(sizes_of(units, self.shares()))
        wanted = self.whole(max(1, round(self.given.total))) if rows is None else rows
        counts = sizes_for(wanted, self.shares())
        return Counts(at_least(counts, *self.rules.sizes) if self.rules else counts)

    def whole(self, rows: int) -> int:
        """The number of rows nearest to `rows` that whole units make."""
        return nearest_whole(rows, *self.rules.sizes) if self.rules else rows

    def batches(self, counts: Counts, rng: np.random.Generator) -> Iterator[Drawn]:
        """All units, batch by batch, one at least; within a batch in random order."""
        width = np.arange(1, len(counts.by_size) + 1)
        number = max(1, -(-counts.rows // BATCH))
        seeds = counts.rows if self._alike else counts.units
        records = Supply(thinned_batches(self.given, seeds, rng))
        first_unit, first_row = 0, 0
        for batch in range(number):
            part = counts.by_size * (batch + 1) // number - counts.by_size * batch // number
            made, unit, exact = self._made(np.repeat(width, part), records, rng)
            yield Drawn(made, unit + first_unit, first_row, exact, self.again)
            first_unit, first_row = first_unit + int(part.sum()), first_row + len(made)

    def again(self, sizes: Index, rng: np.random.Generator) -> Drawn:
        """Further units of these sizes, in any order."""
        seeds = self.given.sample(int(sizes.sum()) if self._alike else len(sizes), rng)
        made, unit, exact = self._made(sizes, Supply(iter([seeds])), rng)
        return Drawn(made, unit, 0, exact, self.again)

    @property
    def _alike(self) -> bool:
        """Whether nothing ties rows to their unit."""
        return not self.static and self.schema.unit.order is None

    def _made(
        self, sizes: Index, records: Supply, rng: np.random.Generator
    ) -> tuple[Records, Index, Mapping[str, Index]]:
        """Records of units of these sizes, in any order; each record's unit, from 0; exact steps of what advances."""
        if self.rules:
            seeds = records.take(len(sizes))
            sizes = spread_sizes(sizes, seeds.project(self.static), rng)
            made, exact = self.sequenced.drawn(sizes, seeds, rng)
            return made, np.repeat(np.arange(len(sizes)), sizes), exact
        return *(self._loose(sizes, records, rng) if self._alike else self._units(sizes, records, rng)), {}

    @cached_property
    def rules(self) -> Sequences:
        """How the rows of a unit follow each other. UsageError (U264) where the evidence is about what advances."""
        found = Sequences.of(self.schema)
        moving = {one.axis.name for one in found.every if one.axis and one.kind in ("advance", "last")}
        if asked := sorted(moving.intersection(self.weights)):
            raise UsageError(
                "U264",
                f"the condition is about '{asked[0]}', whose values follow each other in a unit",
                "draw whole units, and choose among them",
            )
        return found

    @cached_property
    def sequenced(self) -> Sequenced:
        order = str(self.schema.unit.order)
        return Sequenced(self.rules, self.given, self.static, order, self._ordered, self._barred)

    def _loose(self, sizes: Index, records: Supply, rng: np.random.Generator) -> tuple[Records, Index]:
        """Rows that nothing ties to their unit: any will do."""
        shuffled = rng.permutation(sizes)
        return records.take(int(sizes.sum())), np.repeat(np.arange(len(sizes)), shuffled)

    def _units(self, sizes: Index, records: Supply, rng: np.random.Generator) -> tuple[Records, Index]:
        seeds = records.take(len(sizes)).project(self.static)
        dealt = spread_sizes(sizes, seeds, rng)
        unit = np.repeat(np.arange(len(sizes)), dealt)
        known: dict[str, NDArray[Any]] = {a: seeds[a][unit] for a in self.static}
        order = self.schema.unit.order
        if order is None:
            return complete(self.given, known, rng), unit
        known[order] = self._ordered(dealt, rng)
        try:
            if not meets(self._barred, known).any():
                return complete(self.given, known, rng), unit
        except Impossible:
            pass
        wanted = self.given.marginal((order,))
        places = Places.of(self.given, wanted, order, seeds, self._barred, rng)
        placed = places.placed(dealt, known[order], rng)
        unit = np.repeat(np.arange(len(sizes)), placed.sizes)
        known = {**{a: seeds[a][placed.like[unit]] for a in self.static}, order: placed.cells}
        return complete(self.given, known, rng), unit

    @cached_property
    def _barred(self) -> tuple[Barred, ...]:
        return barred_by(self.schema, self.given.domain, self.rules.columns)

    def _ordered(self, sizes: Index, rng: np.random.Generator) -> Index:
        """Different cells of the ordering column for the rows of each unit, ascending; all units' one after another."""
        order = self.schema.unit.order
        assert order is not None
        wanted = self.given.marginal((order,))
        most = int(sizes.max(initial=1))
        chances = inclusion(np.bincount(sizes, minlength=most + 1)[1:], wanted)
        cells = np.empty(int(sizes.sum()), dtype=np.int64)
        ends = np.cumsum(sizes)
        for size in np.unique(sizes).tolist():
            units = np.flatnonzero(sizes == size)
            chosen = systematic(chances[size - 1], size, len(units), rng)
            cells[(ends[units] - size)[:, None] + np.arange(size)] = chosen
        return cells


def within_sizes(shares: Floats, least: int, most: int) -> Floats:
    """Shares of units with 1, 2, ... rows when none has fewer or more; even where nobody would be left."""
    found = shares[:most].copy()
    found[: least - 1] = 0.0
    if not found.sum() > 0:
        found = np.where(np.arange(1, most + 1) >= least, 1.0, 0.0)
    return np.asarray(found / found.sum(), dtype=np.float64)


def at_least(counts: Index, least: int, most: int) -> Index:
    """The same number of rows without units of fewer than `least`: others become larger by one row each, and where all have
    `most`, some give rows to a further unit. UsageError (U265) where no units of these sizes have so many rows together."""
    found = np.append(counts, np.zeros(max(0, most - len(counts)), dtype=np.int64))
    left = int(found[: least - 1] @ np.arange(1, least))
    wanted = int(found @ np.arange(1, len(found) + 1))
    require_whole(wanted, least, most)
    found[: least - 1] = 0
    for size in range(least, most):
        step = min(left, int(found[size - 1]))
        found[size - 1], found[size], left = found[size - 1] - step, found[size] + step, left - step
        if not left:
            return found
    if left:
        units = int(found.sum()) + -(-left // most)
        size, larger = divmod(wanted, units)
        found[:] = 0
        found[size - 1] = units - larger
        found[size : size + 1] += larger
    return found


def require_whole(rows: int, least: int, most: int) -> None:
    """UsageError (U265) where no units of `least` to `most` rows have so many together."""
    nearest = nearest_whole(rows, least, most)
    if nearest != rows:
        raise UsageError(
            "U265",
            f"units of {_span(least, most)} rows cannot make {rows:,} rows together",
            f"ask for {nearest:,} rows, or for a number of units",
        )


def nearest_whole(rows: int, least: int, most: int) -> int:
    """The number of rows nearest to `rows` that units of `least` to `most` rows have together; for 0 that is 0."""
    units = rows // least
    if rows <= units * most:
        return rows
    below, above = units * most, (units + 1) * least
    return below if below and rows - below < above - rows else above


def _span(least: int, most: int) -> str:
    return f"{least}" if least == most else f"{least} to {most}"


def spread_sizes(sizes: Index, seeds: Records, rng: np.random.Generator) -> Index:
    """A size for each seed: units that are alike in their static cells, in the schema's order of importance, get the
    sizes in the same proportions as everybody (multiples of the golden ratio, ranked), from a random beginning."""
    number = len(sizes)
    keys = [seeds[a] for a in reversed(seeds.domain.attributes)]
    order = np.lexsort([rng.random(number), *keys])
    golden = np.modf(rng.random() + np.arange(number) * _GOLDEN)[0]
    dealt = np.empty_like(sizes)
    dealt[order[np.argsort(golden)]] = np.sort(sizes)
    return dealt


def inclusion(units: Index, wanted: Floats) -> Floats:
    """The probability that a unit with n rows has one in each cell, shape (len(units), cells), row n - 1 summing to n.

    `units[n - 1]` units have n rows; each has at most one row in a cell, and together, as nearly as that allows, they
    have rows in the cells in proportion to `wanted`. Raking: ``min(1, c[n] w[cell])`` with one factor for each size, one for
    each cell (Deming and Stephan 1940, with a ceiling).
    """
    sizes = np.arange(1, len(units) + 1)
    target = np.maximum(wanted, 0.0) * (
        float(units @ sizes) / max(float(np.maximum(wanted, 0.0).sum()), 1e-300)
    )
    weights = np.where(target > 0, target, 0.0)
    chances = _filled(weights, sizes)
    for _ in range(RAKED):
        found = units @ chances
        weights = weights * np.divide(target, found, out=np.ones_like(found), where=found > 0)
        weights = np.clip(weights / max(float(weights.max()), 1e-300), 1e-9 * (target > 0), None)
        chances = _filled(weights, sizes)
    return chances


def _filled(weights: Floats, sizes: Index) -> Floats:
    """``min(1, c[n] weights)`` with c[n] such that row n sums to n: the largest weights are filled first."""
    order = np.argsort(-weights, kind="stable")
    falling = weights[order]
    rest = np.append(np.cumsum(falling[::-1])[::-1], 0.0)
    found = np.zeros((len(sizes), len(weights)))
    there = int((weights > 0).sum())
    for row, size in enumerate(sizes.tolist()):
        full = 0
        while full < min(size, there) and falling[full] * (size - full) >= rest[full]:
            full += 1
        found[row, order[:full]] = 1.0
        if full < size and rest[full] > 0:
            found[row, order[full:]] = falling[full:] * ((size - full) / rest[full])
    return found


def systematic(chances: Floats, size: int, units: int, rng: np.random.Generator) -> Index:
    """For each of `units` units `size` different cells, ascending, each cell with its probability; shape (units, size).

    Systematic sampling (Madow 1949): the cells at u, u + 1, ... on the line on which they lie with their probabilities as
    lengths; the units' u lie evenly in [0, 1).
    """
    u = (rng.permutation(units) + rng.random(units)) / max(units, 1)
    upto = np.cumsum(chances)
    upto[-1] = max(upto[-1], size)
    places = u[:, None] + np.arange(size)
    cells = np.searchsorted(upto, places, side="right")
    # a length of one that rounding made a little longer must not be hit twice
    possible = np.flatnonzero(chances > 0)
    rank = np.searchsorted(possible, np.minimum(cells, possible[-1]))
    rank = np.maximum.accumulate(rank - np.arange(size), axis=1) + np.arange(size)
    rank = np.minimum(rank, len(possible) - size + np.arange(size))
    return np.asarray(possible[rank], dtype=np.int64)


def with_units(table: Table, unit: Index) -> Table:
    """`table` as rows of units: static columns have in all rows of a unit the value of its first row (their cells agree
    already: this is about where in the cell the value lies), and the table knows its units."""
    column = table.schema.unit.column
    if not len(unit) or column is None:
        return table
    names = table.schema.unit.static
    starts = np.flatnonzero(np.diff(unit, prepend=unit[0] - 1))
    first = np.repeat(starts, np.diff(np.append(starts, len(unit))))
    values = {name: array[first] if name in names else array for name, array in table.values.items()}
    missing = {name: array[first] if name in names else array for name, array in table.missing.items()}
    return Table(table.schema, values, missing, unit - unit[0], table.values[column][starts])
