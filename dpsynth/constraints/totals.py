"""Declared totals bound to a schema: which cells they are about, whether a table has them, and whether any table can."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import BooleanColumn, CategoryColumn, IntegerColumn, Modelled, NumberColumn
from dpsynth.constraints.apportioning import Infeasible, Tangled, joined_margins
from dpsynth.constraints.atoms import Axis, State
from dpsynth.constraints.rules import Rules
from dpsynth.constraints.zeros import structural_zeros
from dpsynth.constraints_declared import Constraint
from dpsynth.domain import Clique
from dpsynth.encoding import Encoding
from dpsynth.errors import SchemaError
from dpsynth.schema import Schema
from dpsynth.table import Table

Counts = NDArray[np.int64]

MOST_JOINT = 20_000
"""Combinations of all columns whose rows are counted, at most."""
FREE = -1
"""In place of a number of rows: not declared."""


@dataclass(frozen=True, eq=False)
class CountTotal:
    """`rows`: how many rows each combination of cells has, axes as in `columns`; `FREE` where nobody says."""

    number: int
    words: str
    columns: Clique
    rows: Counts

    @property
    def listed(self) -> int:
        return int(self.rows[self.rows != FREE].sum())


@dataclass(frozen=True, eq=False)
class SumTotal:
    """What `axis` adds up to, in steps, over the rows in each cell of `by` (None: over all rows)."""

    number: int
    words: str
    axis: Axis
    by: str | None
    steps: Mapping[int | None, int]

    def of(self, state: State, cells: Mapping[str, NDArray[Any]]) -> dict[int | None, int]:
        """The sums of a table. Missing values add nothing."""
        steps = np.where(state.gone[self.axis.name], 0, state.steps[self.axis.name])
        if self.by is None:
            return {None: int(steps.sum())}
        return {cell: int(steps[cells[self.by] == cell].sum()) for cell in self.steps}


@dataclass(frozen=True, eq=False)
class Totals:
    """All totals of a schema; false where there are none. They are about a table of `size` rows."""

    schema: Schema
    size: int
    counts: tuple[CountTotal, ...]
    sums: tuple[SumTotal, ...]

    @classmethod
    def of(cls, schema: Schema) -> Totals:
        """Raises SchemaError (S168) for totals that mean nothing for their columns, or are of different tables."""
        known = [(n, rule) for n, rule in enumerate(schema.constraints, 1) if rule.about == "table"]
        if not known:
            return cls(schema, 0, (), ())
        if schema.several_rows:
            raise _wrong(*known[0], "totals are kept where every row stands for itself", "drop the total")
        encoding = Encoding(schema)
        for number, rule in known:
            open_ = set(rule.columns) & set(schema.unknown)
            if open_:
                raise _wrong(number, rule, f"'{min(open_)}' is still to be discovered", "declare its values")
        size = _size(known)
        names = {c for _, rule in known for c in _counts_by(rule)}
        if math.prod(encoding.domain[c] for c in names) > MOST_JOINT:
            raise _wrong(
                *known[0], f"totals by more than {MOST_JOINT:,} combinations", "count by fewer columns"
            )
        counts = tuple(_counted(n, rule, encoding, size) for n, rule in known if rule.counts is not None)
        sums = tuple(_summed(n, rule, encoding) for n, rule in known if rule.total is not None)
        return cls(schema, size, counts, sums)

    def __bool__(self) -> bool:
        return bool(self.counts or self.sums)

    @property
    def grouping(self) -> Clique:
        """The columns whose cells decide how many rows there are of each kind."""
        names = [*(c for one in self.counts for c in one.columns), *(s.by for s in self.sums if s.by)]
        return self.schema.domain.ordered(names)

    @property
    def axes(self) -> dict[str, Axis]:
        return {one.axis.name: one.axis for one in self.sums}

    def broken(self, table: Table) -> dict[int, str]:
        """The totals that a table of `size` rows has not, by the number of the constraint; nothing is said of tables of
        another size."""
        if not self or len(table) != self.size:
            return {}
        return self.compared(self.tally(table))

    def tally(self, table: Table) -> list[Any]:
        """What is compared: the counts and sums of some rows, which add up over parts of a table."""
        cells = Encoding(self.schema).encode(table)
        state = State.of(table, self.axes)
        found: list[Any] = []
        for one in self.counts:
            index = np.ravel_multi_index(
                tuple(cells[c].astype(np.int64) for c in one.columns), one.rows.shape
            )
            found.append(np.bincount(index, minlength=one.rows.size).reshape(one.rows.shape))
        by = {s.by: cells[s.by] for s in self.sums if s.by is not None}
        return [*found, *(one.of(state, by) for one in self.sums)]

    def compared(self, tally: list[Any]) -> dict[int, str]:
        """As `broken`, for a tally of all rows."""
        wrong: dict[int, str] = {}
        counts, sums = tally[: len(self.counts)], tally[len(self.counts) :]
        for one, found in zip(self.counts, counts, strict=True):
            if ((found != one.rows) & (one.rows != FREE)).any():
                wrong[one.number] = one.words
        for other, steps in zip(self.sums, sums, strict=True):
            if any(steps[cell] != target for cell, target in other.steps.items()):
                wrong[other.number] = other.words
        return wrong

    def contradictions(self) -> Iterator[tuple[tuple[int, ...], str]]:
        """Totals that no table of `size` rows has, as (numbers of constraints, words): those that are seen by looking at
        them one by one or two by two."""
        for one in self.counts:
            free = bool((one.rows == FREE).any())
            if one.listed > self.size or (one.listed < self.size and not free):
                yield (one.number,), f"it counts {one.listed:,} of {self.size:,} rows"
        for one, other in combinations(self.counts, 2):
            shared = tuple(c for c in one.columns if c in other.columns)
            if shared and not np.array_equal(_margin(one, shared), _margin(other, shared)):
                yield (one.number, other.number), f"they disagree on the rows by {', '.join(shared)}"
        yield from self._impossible()
        yield from self._out_of_reach()

    def refused(self) -> tuple[tuple[int, ...], str] | None:
        """The first reason why no table of `size` rows has all totals, if any is found."""
        if not self:
            return None
        found = next(self.contradictions(), None)
        return found if found is not None or not self.grouping else next(self._unjoined(), None)

    def joint(self, seed: NDArray[np.float64], rng: np.random.Generator) -> Counts:
        """How many of `size` rows have each combination of the cells of `grouping`, axes as there: exactly as counted, and
        near to `seed` where nobody counts. Raises `Infeasible`, `Tangled`."""
        names, domain = self.grouping, self.schema.domain
        possible = np.where(self.ruled_out(names), 0.0, seed)
        if not possible.sum() > 0:
            raise Infeasible
        margins = [(one.columns, _completed(one, names, possible, self.size)) for one in self.counts]
        counted = {c for one in self.counts for c in one.columns}
        for name in names:
            if name not in counted:
                alone = CountTotal(0, "", (name,), np.full(domain[name], FREE, dtype=np.int64))
                margins.append(((name,), _completed(alone, names, possible, self.size)))
        return joined_margins(margins, possible, domain, names, rng)

    def ruled_out(self, names: Clique) -> NDArray[np.bool_]:
        """The combinations that constraints on single rows forbid whatever else a row has."""
        domain = self.schema.domain
        found = np.zeros(domain.shape(names), dtype=bool)
        for clique, table in structural_zeros(Rules.of(self.schema), domain).items():
            if set(clique) <= set(names):
                shape = [domain[c] if c in clique else 1 for c in names]
                found |= table.reshape(shape)
        return found

    def _unjoined(self) -> Iterator[tuple[tuple[int, ...], str]]:
        """Whether counts can be had together, beside what single rows may be."""
        numbers = tuple(one.number for one in self.counts)
        try:
            self.joint(np.ones(self.schema.domain.shape(self.grouping)), np.random.default_rng(0))
        except Infeasible:
            yield numbers, "no table has these numbers of rows and keeps the other constraints"
        except Tangled:
            yield numbers, "these counts run in a circle: count by all their columns at once"

    def _impossible(self) -> Iterator[tuple[tuple[int, ...], str]]:
        zeros = structural_zeros(Rules.of(self.schema), self.schema.domain)
        for one in self.counts:
            for clique, table in zeros.items():
                if set(clique) <= set(one.columns):
                    rest = tuple(k for k, c in enumerate(one.columns) if c not in clique)
                    listed = np.maximum(one.rows, 0).sum(axis=rest)
                    if listed[table].any():
                        yield (one.number,), "it counts rows that another constraint forbids"

    def _out_of_reach(self) -> Iterator[tuple[tuple[int, ...], str]]:
        """Sums below or above what the column's bounds allow for so many rows."""
        for one in self.sums:
            least, most = _bounds(one.axis)
            rows = self._rows_by(one.by)
            for cell, target in one.steps.items():
                number = (
                    self.size if rows is None and cell is None else None if rows is None else rows.get(cell)
                )
                if number is not None and not number * least <= target <= number * most:
                    yield (one.number,), "its bounds do not reach the total with so many rows"
                elif number is None and not min(0, self.size * least) <= target <= max(0, self.size * most):
                    yield (one.number,), "its bounds do not reach the total in any number of rows"
        for whole, parts in (
            (a, b) for a in self.sums for b in self.sums if a.by is None and b.by is not None
        ):
            column = self.schema.modelled[parts.by or ""]
            complete = len(parts.steps) == self.schema.domain[parts.by or ""] and not column.missing
            if (
                whole.axis.name == parts.axis.name
                and complete
                and sum(parts.steps.values()) != whole.steps[None]
            ):
                yield (whole.number, parts.number), "the parts do not add up to the whole"

    def _rows_by(self, by: str | None) -> dict[int | None, int] | None:
        """How many rows each cell of a column has, where counts say so."""
        for one in self.counts:
            if by in one.columns and not (one.rows == FREE).any():
                return {int(c): int(n) for c, n in enumerate(_margin(one, (str(by),)))}
        return None


def _completed(one: CountTotal, names: Clique, possible: NDArray[np.float64], size: int) -> Counts:
    """Its rows with those that nobody counts, in proportion to what is possible, the largest rests rounded up."""
    free = one.rows == FREE
    rest = tuple(k for k, c in enumerate(names) if c not in one.columns)
    weights = np.where(free, possible.sum(axis=rest), 0.0)
    left = size - one.listed
    if not free.any() or not left:
        return np.maximum(one.rows, 0)
    if not weights.sum() > 0:
        raise Infeasible
    exact = weights * (left / weights.sum())
    more = np.floor(exact).astype(np.int64)
    largest = np.argsort(-(exact - more).reshape(-1), kind="stable")[: left - int(more.sum())]
    more.reshape(-1)[largest] += 1
    return np.where(free, more, one.rows)


def _margin(one: CountTotal, names: tuple[str, ...]) -> Counts:
    """Its rows by some of its columns, in their order there."""
    rest = tuple(k for k, c in enumerate(one.columns) if c not in names)
    return np.asarray(np.maximum(one.rows, 0).sum(axis=rest), dtype=np.int64)


def _bounds(axis: Axis) -> tuple[int, int]:
    """The least and largest number of steps that one row adds."""
    every = np.concatenate([axis.starts, axis.ends, axis.codes, np.zeros(int(axis.column.missing), np.int64)])
    return int(every.min()), int(every.max())


def _wrong(number: int, rule: Constraint, problem: str, fix: str) -> SchemaError:
    return SchemaError("S168", f"constraint {number} ({rule.words}): {problem}", fix)


def _counts_by(rule: Constraint) -> tuple[str, ...]:
    if rule.counts is not None:
        return rule.counts.columns
    return () if rule.total is None or rule.total.by is None else (rule.total.by,)


def _size(known: list[tuple[int, Constraint]]) -> int:
    """How many rows the totals are about."""
    sizes: dict[int, int] = {}
    for number, rule in known:
        if rule.of is not None:
            sizes.setdefault(rule.of, number)
        elif rule.counts is not None:
            sizes.setdefault(rule.counts.number, number)
    if not sizes or min(sizes) < 1:
        raise _wrong(*known[0], "nobody says how many rows the table has", "write of: and their number")
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise SchemaError(
            "S168",
            f"constraints {first} and {second} are about tables of {one:,} and of {other:,} rows",
            "write of: and the table's rows with each total that does not list all of them",
        )
    return next(iter(sizes))


def _counted(number: int, rule: Constraint, encoding: Encoding, size: int) -> CountTotal:
    assert rule.counts is not None
    columns = encoding.domain.ordered(rule.counts.columns)
    partial = rule.of is not None and rule.counts.number < size
    rows = np.full(encoding.domain.shape(columns), FREE if partial else 0, dtype=np.int64)
    for row in rule.counts.rows:
        cells = dict(zip(rule.counts.columns, row[:-1], strict=True))
        try:
            rows[tuple(_cell(encoding, c, cells[c]) for c in columns)] = row[-1]
        except LookupError:
            raise _wrong(
                number, rule, "a value that its column has not", "write it as the schema does"
            ) from None
    return CountTotal(number, rule.words, columns, rows)


def _summed(number: int, rule: Constraint, encoding: Encoding) -> SumTotal:
    assert rule.total is not None
    name, by = rule.total.column, rule.total.by
    column = encoding.schema.modelled[name]
    if not isinstance(column, IntegerColumn | NumberColumn):
        raise _wrong(number, rule, f"'{name}' is no number", "add up numbers")
    axis = Axis.of(name, encoding)
    steps: dict[int | None, int] = {}
    for value, total in rule.total.totals.items():
        scaled = total * axis.scale
        if scaled.denominator != 1 or abs(scaled) > 1 << 58:
            raise _wrong(
                number, rule, f"'{name}' has no such decimals", "round the total, or declare decimals"
            )
        try:
            cell = None if by is None else _cell(encoding, by, value)
        except LookupError:
            raise _wrong(
                number, rule, "a value that its column has not", "write it as the schema does"
            ) from None
        steps[cell] = int(scaled)
    return SumTotal(number, rule.words, axis, by, steps)


def _cell(encoding: Encoding, name: str, value: Any) -> int:
    """The cell of a value. Raises LookupError for none, or a column whose cells hold several values."""
    column: Modelled = encoding.schema.modelled[name]
    gone = encoding.missing_cell(name)
    if value is None or (value == "" and gone is not None):
        if gone is None:
            raise LookupError(name)
        return gone
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    match column:
        case CategoryColumn():
            texts = list(column.values)
        case BooleanColumn():
            # as declared, or plainly true and false
            texts = ["false", "true"] if text in ("true", "false") else list(column.texts)
        case IntegerColumn() if not column.special and column.max - column.min < len(column.starts):
            texts = [str(start) for start in column.starts.tolist()]
        case _:
            raise LookupError(name)
    if text not in texts:
        raise LookupError(name)
    return texts.index(text)
