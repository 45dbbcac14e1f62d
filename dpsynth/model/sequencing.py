"""Rows of units that follow each other by rules: years without gaps, age growing with them, a status that never goes back.

What *advances* is decided for the unit: the seed that gives it its static cells says where it stands, and each row's value
follows. What never goes back, stays or comes last is drawn for each row as usual and then *exchanged within the unit* until
it keeps the rule, so that the table has as many rows of each value as the model says. Then everything else is drawn from the
model given these cells. Units whose cells the model or the constraints exclude are drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints.atoms import Axis, State
from dpsynth.constraints.sequences import Sequence, Sequences, put
from dpsynth.errors import DataError
from dpsynth.model.places import Barred, meets
from dpsynth.pgm.completing import Conditioned, Impossible, complete
from dpsynth.records import Records
from dpsynth.table import Table

Index = NDArray[np.int64]
Known = dict[str, NDArray[Any]]

TRIES = 30
"""Units are drawn again so often, before they take over the rows of others with as many rows."""


class Ordering(Protocol):
    """Different cells of the ordering column for the rows of units of these sizes, ascending."""

    def __call__(self, sizes: Index, rng: np.random.Generator) -> Index: ...


@dataclass(frozen=True, eq=False)
class Sequenced:
    """How rows that follow each other are drawn. `static`: columns with one cell for a unit; `order`: the ordering one."""

    rules: Sequences
    model: Conditioned
    static: tuple[str, ...]
    order: str
    ordered: Ordering
    barred: tuple[Barred, ...]

    def drawn(
        self, sizes: Index, seeds: Records, rng: np.random.Generator
    ) -> tuple[Records, dict[str, Index]]:
        """Rows of units of these sizes, and the exact steps of columns that advance (where they are not missing).
        `seeds`: a record for each unit. Raises DataError (D215) where no unit keeps the rules."""
        ends = np.cumsum(sizes)
        names = self.model.domain.attributes
        rows = int(ends[-1]) if len(ends) else 0
        cells = {a: np.zeros(rows, dtype=np.int64) for a in names}
        exact = {one.axis.name: np.zeros(rows, dtype=np.int64) for one in self._advancing if one.axis}
        left = np.arange(len(sizes))
        for attempt in range(TRIES):
            if not len(left):
                break
            own = seeds.take(left) if not attempt else self.model.sample(len(left), rng)
            made, steps, good = self._tried(sizes[left], own, rng)
            into = _rows_of(left[good], sizes, ends)
            kept = np.repeat(good, sizes[left])
            for a in names:
                cells[a][into] = made[a][kept]
            for name, values in steps.items():
                exact[name][into] = values[kept]
            left = left[~good]
        self._taken_over(left, sizes, ends, [*cells.values(), *exact.values()], rng)
        return Records.of(self.model.domain, cells), exact

    @property
    def _advancing(self) -> tuple[Sequence, ...]:
        return tuple(one for one in self.rules.advancing if one.axis and one.axis.name != self.order)

    def _tried(
        self, sizes: Index, seeds: Records, rng: np.random.Generator
    ) -> tuple[Known, dict[str, Index], NDArray[np.bool_]]:
        """Cells of all attributes, exact steps, and which units are good."""
        unit = np.repeat(np.arange(len(sizes)), sizes)
        known: Known = {a: seeds[a].astype(np.int64)[unit] for a in self.static}
        known[self.order] = self._places(sizes, rng)
        exact, bad = {}, np.zeros(len(sizes), dtype=bool)
        for one in self._advancing:
            assert one.axis is not None
            steps, cells, outside = self._advanced(one, one.axis, sizes, seeds, known[self.order], rng)
            exact[one.axis.name], known[one.axis.name] = steps, cells
            bad |= outside
        bad[unit[self._barred(known)]] = True
        made = self._completed(known, unit, bad, rng)
        for one in self.rules.arranged:
            assert one.axis is not None
            known[one.axis.name] = self._arranged(one, one.axis, made, known, unit, rng)
        if self.rules.arranged:
            bad[unit[self._barred(known)]] = True
            made = self._completed(known, unit, bad, rng)
        return made, exact, ~bad

    def _barred(self, known: Known) -> NDArray[np.bool_]:
        return meets([one for one in self.barred if set(one.clique) <= set(known)], known)

    def _completed(
        self, known: Known, unit: Index, bad: NDArray[np.bool_], rng: np.random.Generator
    ) -> Known:
        """All cells given the known ones; units that the model excludes become `bad`, and get no cells."""
        while True:
            rows = np.flatnonzero(~bad[unit])
            try:
                made = complete(self.model, {a: c[rows] for a, c in known.items()}, rng)
            except Impossible as error:
                bad[unit[rows[error.rows]]] = True
                continue
            found = {a: np.zeros(len(unit), dtype=np.int64) for a in self.model.domain.attributes}
            for a, cells in found.items():
                cells[rows] = made[a]
            return found

    def _places(self, sizes: Index, rng: np.random.Generator) -> Index:
        """Cells of the ordering column; without gaps where it advances by itself."""
        cells = self.ordered(sizes, rng)
        own = next((one for one in self.rules.advancing if one.axis and one.axis.name == self.order), None)
        if own is None or not len(cells):
            return cells
        begin = np.cumsum(sizes) - sizes
        by = own.step // (own.axis.scale if own.axis else 1)
        pick = (rng.random(len(sizes)) * sizes).astype(np.int64)
        start = cells[begin + pick] - by * pick
        most = self.model.domain[self.order] - 1 - by * (sizes - 1)
        if (most < 0).any():
            raise _nobody(f"{self.rules.schema.unit.order} has too few values for a unit's rows")
        row = np.arange(len(cells)) - np.repeat(begin, sizes)
        return np.asarray(np.repeat(np.clip(start, 0, most), sizes) + by * row, dtype=np.int64)

    def _advanced(
        self,
        one: Sequence,
        axis: Axis,
        sizes: Index,
        seeds: Records,
        places: Index,
        rng: np.random.Generator,
    ) -> tuple[Index, Index, NDArray[np.bool_]]:
        """Steps and cells of a column that advances, and the units whose rows do not fit into its bounds."""
        grid = len(axis.starts)
        cell = seeds[axis.name].astype(np.int64)
        inside = np.minimum(cell, grid - 1)
        value = rng.integers(axis.starts[inside], axis.ends[inside], endpoint=True)
        begin = np.cumsum(sizes) - sizes
        row = np.arange(len(places)) - np.repeat(begin, sizes)
        along = one.step * (self._value(places) if one.along else row)
        seen = (
            self._value(seeds[self.order].astype(np.int64))
            if one.along
            else (rng.random(len(sizes)) * sizes).astype(np.int64)
        )
        offset = value - one.step * seen
        # a unit that would leave the bounds is moved into them
        low, high = np.minimum.reduceat(along, begin), np.maximum.reduceat(along, begin)
        offset = np.clip(offset, axis.starts[0] - low, np.maximum(axis.ends[-1] - high, axis.starts[0] - low))
        steps = np.repeat(offset, sizes) + along
        gone = np.repeat(cell >= grid, sizes)
        outside = (offset + high > axis.ends[-1]) & (cell < grid)
        cells = axis.cell_of(np.clip(steps, axis.starts[0], axis.ends[-1]), gone)
        return np.where(gone, 0, steps), cells, outside

    def _value(self, cells: Index) -> Index:
        """The ordering column's values: one in each cell."""
        column: Any = self.rules.schema.modelled[self.order]
        return np.asarray(column.starts, dtype=np.int64)[cells]

    def _arranged(
        self, one: Sequence, axis: Axis, made: Known, known: Known, unit: Index, rng: np.random.Generator
    ) -> Index:
        """The column's cells, exchanged within units until they keep the rule."""
        cells = made[axis.name].copy()
        ends = [int(axis.cell_of(np.array([s]), np.array([False]))[0]) for s in one.ends]
        if one.kind == "last":
            cells = self._at_most_one(axis.name, cells, ends, known, unit, rng)
        gone = cells >= axis.cells - axis.column.missing
        steps = _representative(axis, cells)
        source = one.order(steps, gone, unit)
        arranged = cells[source]
        if one.kind == "absorbing" and len(one.ends) > 1:
            arranged = _first_stays(arranged, np.isin(arranged, ends), unit)
        return self._at_the_end(arranged, ends, gone, unit) if one.kind == "last" else arranged

    def _at_most_one(
        self, name: str, cells: Index, ends: list[int], known: Known, unit: Index, rng: np.random.Generator
    ) -> Index:
        """All but one of a unit's last values drawn again among the others."""
        there = np.isin(cells, ends)
        running: Index = np.cumsum(there) - there.astype(np.int64)
        first = np.flatnonzero(np.diff(unit, prepend=-1))
        before: Index = running - running[first][unit]
        again = np.flatnonzero(there & (before > 0))
        if len(again):
            weights = np.ones(self.model.domain[name])
            weights[ends] = 0.0
            try:
                other = complete(
                    self.model.conditioned({name: weights}), {a: c[again] for a, c in known.items()}, rng
                )
            except ValueError:
                raise _nobody(f"{name} has nothing but last values in some rows") from None
            cells[again] = other[name]
        return cells

    def _at_the_end(self, cells: Index, ends: list[int], gone: NDArray[np.bool_], unit: Index) -> Index:
        """A last value behind missing ones too."""
        found = cells.copy()
        last = np.append(unit[1:] != unit[:-1], True)
        wrong = np.flatnonzero(np.isin(found, ends) & ~last)
        end = np.flatnonzero(last)[unit[wrong]]
        found[wrong], found[end] = cells[end], cells[wrong]
        return found

    def _taken_over(
        self, left: Index, sizes: Index, ends: Index, columns: list[Index], rng: np.random.Generator
    ) -> None:
        """Units that cannot be drawn get the cells of others of their size."""
        good = np.setdiff1d(np.arange(len(sizes)), left)
        for unit in left.tolist():
            alike = good[sizes[good] == sizes[unit]]
            if not len(alike):
                raise _nobody(f"{len(left)} units cannot be drawn")
            other = int(alike[rng.integers(len(alike))])
            for array in columns:
                array[ends[unit] - sizes[unit] : ends[unit]] = array[ends[other] - sizes[other] : ends[other]]

    def placed(self, table: Table, unit: Index, exact: Mapping[str, Index]) -> Table:
        """The decoded rows with values that keep the rules also inside cells."""
        values = dict(table.values)
        for one in self._advancing:
            assert one.axis is not None
            there = np.flatnonzero(~table.missing[one.axis.name])
            values[one.axis.name] = put(table, one.axis, exact[one.axis.name][there], there)
        for one in self.rules.arranged:
            assert one.axis is not None
            if one.kind in ("rising", "falling"):
                state = State.of(table, {one.axis.name: one.axis})
                source = one.order(state.steps[one.axis.name], state.gone[one.axis.name], unit)
                values[one.axis.name] = table.values[one.axis.name][source]
        return replace(table, values=values)


def _rows_of(units: Index, sizes: Index, ends: Index) -> Index:
    """The rows of these units, one unit after another."""
    own = sizes[units]
    begin = np.repeat(ends[units] - own, own)
    return begin + np.arange(len(begin)) - np.repeat(np.cumsum(own) - own, own)


def _representative(axis: Axis, cells: Index) -> Index:
    """A step in each cell."""
    return np.append(np.concatenate([axis.starts, axis.codes]), 0)[cells]


def _first_stays(cells: Index, ending: NDArray[np.bool_], unit: Index) -> Index:
    """Where a unit has several values that stay, the first of them in all those rows."""
    found = cells.copy()
    rows = np.flatnonzero(ending)
    begins = np.append(True, unit[rows][1:] != unit[rows][:-1]) if len(rows) else np.zeros(0, bool)
    if len(rows):
        found[rows] = cells[rows][begins][np.cumsum(begins) - 1]
    return found


def _nobody(why: str) -> DataError:
    return DataError(
        "D215",
        f"rules about the rows of a unit cannot be kept: {why}",
        "the rules, the other constraints and what the model knows leave no such unit: correct one of them",
    )
