"""Rules about the rows of a unit bound to a schema: which rows break them, and values put in an order that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import BooleanColumn, CategoryColumn, IntegerColumn, Modelled, MomentColumn, NumberColumn
from dpsynth.constraints.atoms import Axis, State
from dpsynth.constraints.rules import Rules
from dpsynth.constraints_declared import Constraint
from dpsynth.encoding import Encoding
from dpsynth.errors import SchemaError
from dpsynth.schema import Schema
from dpsynth.table import Table

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sequence:
    """One rule. `axis`: of the column whose values follow each other (None: the rule is about the number of rows); `step`:
    how much it grows from row to row, in its steps, or for each step of the order's when `along`; `ends`: the values, as
    steps, that stay or come last; `sizes`: the least and largest number of rows."""

    number: int
    declared: Constraint
    axis: Axis | None = None
    step: int = 0
    along: bool = False
    ends: tuple[int, ...] = ()
    sizes: tuple[int, int] = (1, 1)

    @property
    def kind(self) -> str:
        return str(self.declared.stepping)

    @property
    def words(self) -> str:
        return self.declared.words

    def broken(self, steps: Index, gone: Mask, unit: Index, place: Index) -> Mask:
        """The rows, in the order of their units, that break it; `place`: each row's step of the ordering column."""
        first = np.flatnonzero(np.diff(unit, prepend=unit[0] - 1)) if len(unit) else np.zeros(0, np.int64)
        number = np.diff(np.append(first, len(unit)))
        if self.axis is None:
            wrong = (number < self.sizes[0]) | (number > self.sizes[1])
            return np.isin(np.arange(len(unit)), first[wrong])
        own = np.cumsum(np.diff(unit, prepend=unit[0] - 1 if len(unit) else 0) != 0) - 1
        found = np.zeros(len(unit), dtype=bool)
        there = np.flatnonzero(~gone)
        value, mine = steps[there], own[there]
        if self.kind == "last":
            last = np.append(unit[1:] != unit[:-1], True) if len(unit) else gone
            return np.isin(steps, self.ends) & ~gone & ~last
        if self.kind == "advance":
            row = np.arange(len(unit)) - first[own] if len(unit) else place
            value = value - self.step * (place if self.along else row)[there]
        if not len(there):
            return found
        begins = np.append(True, mine[1:] != mine[:-1])
        if self.kind == "advance":
            found[there] = value != value[begins][np.cumsum(begins) - 1]
        elif self.kind == "absorbing":
            before = np.append(-1, value[:-1])
            found[there] = ~begins & np.isin(before, self.ends) & (value != before)
        else:
            falls = np.append(0, np.diff(value)) * (1 if self.kind == "rising" else -1) < 0
            found[there] = falls & ~begins
        return found

    def order(self, steps: Index, gone: Mask, unit: Index) -> Index:
        """Which row each row takes its value from, so that the values of a unit, those that it has, keep the rule: an
        exchange within units. Missing values stay where they are."""
        there = np.flatnonzero(~gone)
        key: Index = np.isin(steps[there], self.ends).astype(np.int64) if self.ends else steps[there]
        key = -key if self.kind == "falling" else key
        source = np.arange(len(unit))
        source[there] = there[np.lexsort((key, unit[there]))]
        return source


@dataclass(frozen=True, eq=False)
class Sequences:
    """All rules of a schema about the rows of a unit; false where there are none."""

    schema: Schema
    every: tuple[Sequence, ...]

    @classmethod
    def of(cls, schema: Schema) -> Sequences:
        """Raises SchemaError (S169) for a rule that means nothing for its columns."""
        known = [(n, rule) for n, rule in enumerate(schema.constraints, 1) if rule.about == "unit"]
        encoding = Encoding(schema) if known else None
        found = []
        for number, rule in known:
            assert encoding is not None
            found.append(_bound(number, rule, encoding))
            alike = [one for one in found if one.axis is not None and one.axis.name == rule.stepped]
            if len(alike) > 1:
                raise _wrong(number, rule, f"constraint {alike[0].number} orders the same column", "drop one")
        rules = cls(schema, tuple(found))
        least, most = rules.sizes
        if least > most:
            raise _wrong(
                *next((one.number, one.declared) for one in found if one.sizes[0] == least),
                f"other rules, and the bounds of columns, leave a unit at most {most} rows",
                "correct one of them",
            )
        return rules

    def __bool__(self) -> bool:
        return bool(self.every)

    @property
    def columns(self) -> frozenset[str]:
        """The columns whose values follow each other by a rule."""
        return frozenset(one.axis.name for one in self.every if one.axis is not None)

    @property
    def advancing(self) -> tuple[Sequence, ...]:
        return tuple(one for one in self.every if one.kind == "advance")

    @property
    def arranged(self) -> tuple[Sequence, ...]:
        """The rules that an exchange of values within a unit keeps."""
        return tuple(one for one in self.every if one.axis is not None and one.kind != "advance")

    def exchangeable(self, rules: Rules) -> Rules:
        """Of rules on single rows those about static columns and one that is arranged: no exchange within a unit breaks
        them, so they are kept before it."""
        arranged = {one.axis.name for one in self.arranged if one.axis is not None}
        static = set(self.schema.unit.static)
        chosen = (
            rule
            for rule in rules.every
            if set(rule.columns) <= static | arranged and len(arranged.intersection(rule.columns)) == 1
        )
        return Rules(tuple(chosen), rules.axes)

    def beside_exchange(self, rules: Rules) -> Rules:
        """The other ones."""
        own = {rule.number for rule in self.exchangeable(rules).every}
        return Rules(tuple(rule for rule in rules.every if rule.number not in own), rules.axes)

    @property
    def sizes(self) -> tuple[int, int]:
        """The least and largest number of rows of a unit."""
        bounds = [one.sizes for one in self.every if one.axis is None or one.kind == "last"]
        most = min([self.schema.unit.rows_per_unit, *map(self._room, self.advancing)])
        return max([1, *(a for a, _ in bounds)]), min([most, *(b for _, b in bounds)])

    def _room(self, one: Sequence) -> int:
        """How many rows of a unit fit between the bounds of a column that advances."""
        axis, most = one.axis, self.schema.unit.rows_per_unit
        if axis is None or axis.name in self.schema.unknown or axis.column.missing or not one.step:
            return most
        if axis.name == self.schema.unit.order:
            return 1 + (axis.cells - 1) // (one.step // axis.scale)
        return 1 + int(axis.ends[-1] - axis.starts[0]) // abs(one.step)

    def broken(self, table: Table) -> dict[int, Index]:
        """The rows of a table that knows its units, counted from 0, that break each rule, by its number."""
        if not self.every or not len(table):
            return {}
        order = self.schema.unit.order
        assert order is not None
        unit = units_in(table)
        place = table.values[order].astype(np.int64)
        turn = np.lexsort((place, unit))
        axes = {one.axis.name: one.axis for one in self.every if one.axis is not None}
        state = State.of(table, axes)
        nothing = np.zeros(len(table), dtype=np.int64)
        found = {}
        for one in self.every:
            name = None if one.axis is None else one.axis.name
            steps = nothing if name is None else state.steps[name][turn]
            gone = nothing.astype(bool) if name is None else state.gone[name][turn]
            rows = turn[one.broken(steps, gone, unit[turn], place[turn])]
            if len(rows):
                found[one.number] = np.sort(rows)
        return found


def units_in(table: Table) -> Index:
    """A number for each row's unit: rows with one id are of one unit."""
    if table.units is not None:
        return table.units
    ids = table.values[str(table.schema.unit.column)]
    return np.unique(ids.astype(str), return_inverse=True)[1].reshape(-1).astype(np.int64)


def _wrong(number: int, rule: Constraint, problem: str, fix: str) -> SchemaError:
    return SchemaError("S169", f"constraint {number} ({rule.words}): {problem}", fix)


def _bound(number: int, rule: Constraint, encoding: Encoding) -> Sequence:
    schema = encoding.schema
    order = schema.unit.order
    if not schema.several_rows or order is None:
        raise _wrong(
            number, rule, "no unit has rows that follow each other", "declare unit: {..., order: year}"
        )
    if rule.rows is not None:
        most = schema.unit.rows_per_unit if rule.rows.max is None else rule.rows.max
        if rule.rows.min > most or most > schema.unit.rows_per_unit:
            raise _wrong(number, rule, f"a unit has at most {schema.unit.rows_per_unit} rows", "correct it")
        return Sequence(number, rule, sizes=(rule.rows.min, most))
    name = str(rule.stepped)
    if name in schema.unknown or name in schema.unit.static:
        raise _wrong(number, rule, f"'{name}' is static, or still to be discovered", "drop the rule")
    axis = Axis.of(name, encoding)
    if rule.advance is not None:
        return _advancing(number, rule, axis, order, schema)
    if name == order:
        raise _wrong(number, rule, f"'{name}' orders the rows already", "drop the rule")
    column = axis.column
    if isinstance(column, CategoryColumn) and not column.ordered and rule.stepping in ("rising", "falling"):
        raise _wrong(number, rule, f"'{name}' has no order", "declare ordered: true")
    listed = (rule.absorbing or rule.last or {}).get(name, ())
    ends = tuple(_step(number, rule, column, text) for text in listed)
    # where every value is a last one, there is no second row
    single = rule.last is not None and not column.missing and set(axis.codes.tolist()) <= set(ends)
    most = 1 if single and not axis.is_grid else schema.unit.rows_per_unit
    return Sequence(number, rule, axis, ends=ends, sizes=(1, most))


def _advancing(number: int, rule: Constraint, axis: Axis, order: str, schema: Schema) -> Sequence:
    ((name, by),) = (rule.advance or {}).items()
    column = axis.column
    numeric = isinstance(column, IntegerColumn | NumberColumn) and not column.special
    if not numeric and not (name == order and isinstance(by, int)):
        raise _wrong(number, rule, f"'{name}' is no number, or has special values", "let a number grow")
    if isinstance(by, int):
        if by < 1 and name == order:
            raise _wrong(number, rule, "rows stand in ascending order", "let it grow by 1 or more")
        return Sequence(number, rule, axis, step=by * axis.scale)
    if by != order or name == order or isinstance(schema.modelled[order], CategoryColumn | MomentColumn):
        raise _wrong(number, rule, f"'{by}' is no whole number by which rows are ordered", f"such as {order}")
    return Sequence(number, rule, axis, step=axis.scale, along=True)


def _step(number: int, rule: Constraint, column: Modelled, text: str) -> int:
    """The step of a value."""
    match column:
        case CategoryColumn() if text in column.values:
            return column.values.index(text)
        case BooleanColumn() if text in (*column.texts, "true", "false"):
            return text in (column.texts[1], "true")
        case IntegerColumn() if text.lstrip("-").isdigit() and column.min <= int(text) <= column.max:
            return int(text)
        case _:
            raise _wrong(number, rule, "a value that its column has not", "write it as the schema does")


Exact = Mapping[str, Index]


def put(table: Table, axis: Axis, steps: Index, rows: NDArray[Any]) -> NDArray[Any]:
    """The column's values with these steps in some rows."""
    exact = steps / axis.scale if isinstance(axis.column, NumberColumn) else steps
    values = table.values[axis.name].copy()
    values[rows] = exact.astype(values.dtype)
    return values


def broken_rows(table: Table, schema: Schema) -> dict[int, Index]:
    """The rows of a table that knows its units, counted from 0, that break each constraint on rows or on those of a unit, by
    its number, in order."""
    return dict(sorted({**Rules.of(schema).broken(table), **Sequences.of(schema).broken(table)}.items()))
