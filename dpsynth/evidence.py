"""A condition on rows as evidence about cells: exact also where a condition cuts a cell in two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dpsynth.columns import (
    BooleanColumn,
    CategoryColumn,
    IntegerColumn,
    Modelled,
    MomentColumn,
    NumberColumn,
    value_cells,
)
from dpsynth.conditions import (
    AllOf,
    AnyOf,
    ColumnsCompared,
    Compared,
    Condition,
    IsMissing,
    OneOf,
    Relation,
    Value,
    negation,
)
from dpsynth.encoding import Encoding, extent, is_log, special_steps, special_values, spread
from dpsynth.errors import UsageError
from dpsynth.records import Records
from dpsynth.table import Table

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Spans = tuple[tuple[int, int], ...]
"""Steps of a column's grid, first and last included, ascending, apart."""
Stepped = IntegerColumn | MomentColumn | NumberColumn


@dataclass(frozen=True, eq=False)
class _Allowed:
    """What a column may be: steps of its grid, and cells outside the grid (all cells of a column without one)."""

    spans: Spans
    single: Mask

    def also(self, other: _Allowed) -> _Allowed:
        return _Allowed(_common(self.spans, other.spans), self.single & other.single)

    def either(self, other: _Allowed) -> _Allowed:
        return _Allowed(_merged(self.spans + other.spans), self.single | other.single)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Allowed stretches of a grid's cells: cell, first and last step, and the cell's mass up to their ends."""

    cells: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    mass: Floats


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a condition says about each column by itself.

    ``weights[attribute]`` is the share of each cell's values that are allowed, shape (cells,), 0 to 1.
    """

    weights: Mapping[str, Floats]
    _pieces: Mapping[str, _Pieces]

    @classmethod
    def of(cls, condition: Condition, encoding: Encoding) -> Evidence:
        """Raises UsageError: U192 for "or" between columns, U193 for one column beside another, U194 for a column that
        is not modelled, U195 for a value or an order that a column cannot have."""
        weights, pieces = {}, {}
        for name, allowed in _by_column(condition, encoding).items():
            column = encoding.schema.modelled[name]
            weights[name] = allowed.single.astype(np.float64)
            if not isinstance(column, CategoryColumn | BooleanColumn):
                shares, pieces[name] = _cut(column, allowed.spans)
                weights[name] = np.concatenate([shares, weights[name]])
        return cls(weights, pieces)

    def refined(self, table: Table, records: Records, rng: np.random.Generator) -> Table:
        """`table`, decoded from `records` that have the evidence: values of cut cells drawn again among the allowed."""
        values: dict[str, Any] = dict(table.values)
        for name, pieces in self._pieces.items():
            weight = self.weights[name]
            rows = np.flatnonzero(((weight > 0) & (weight < 1))[records[name]])
            if len(rows):
                column = table.schema.modelled[name]
                assert not isinstance(column, CategoryColumn | BooleanColumn)
                values[name] = values[name].copy()
                values[name][rows] = _drawn(column, pieces, records[name][rows], rng)
        return replace(table, values=values)


def _drawn(column: Stepped, pieces: _Pieces, cells: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """A value from the allowed stretches of each of the cells."""
    upto = np.concatenate([[0.0], np.cumsum(pieces.mass)])
    first = np.searchsorted(pieces.cells, cells, side="left")
    last = np.searchsorted(pieces.cells, cells, side="right")
    place = upto[first] + rng.random(len(cells)) * (upto[last] - upto[first])
    chosen = np.clip(np.searchsorted(upto, place, side="right") - 1, first, last - 1)
    low, high = pieces.low[chosen], pieces.high[chosen]
    starts, _, scale = extent(column)
    by_log = is_log(column, starts[cells])
    steps: NDArray[Any] = rng.integers(low, high, endpoint=True)
    steps[by_log] = spread(column, low[by_log], high[by_log], rng)
    return steps / scale if isinstance(column, NumberColumn) else steps


def _cut(column: Stepped, spans: Spans) -> tuple[Floats, _Pieces]:
    """Shares of the grid's cells that the spans cover, and the stretches themselves.

    Steps with a special cell of their own are no part of the grid.
    """
    starts, ends, _ = extent(column)
    free = _outside(special_steps(column), int(starts[0]), int(ends[-1]))
    whole, inside = (
        _stretches(column, free, starts, ends),
        _stretches(column, _common(spans, free), starts, ends),
    )
    all_of = np.bincount(whole.cells, whole.mass, len(starts))
    found = np.bincount(inside.cells, inside.mass, len(starts))
    covered = np.isclose(found, all_of, rtol=1e-12, atol=0.0)
    return np.where(covered, 1.0, found / all_of), inside


def _stretches(column: Stepped, spans: Spans, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> _Pieces:
    cells: list[int] = []
    low: list[int] = []
    high: list[int] = []
    for first, last in spans:
        begin, end = np.searchsorted(starts, [first, last], side="right").tolist()
        for cell in range(begin - 1, end):
            cells.append(cell)
            low.append(max(first, int(starts[cell])))
            high.append(min(last, int(ends[cell])))
    where, lowest, highest = (np.array(numbers, dtype=np.int64) for numbers in (cells, low, high))
    by_log = is_log(column, starts)[where] if cells else np.zeros(0, dtype=bool)
    mass = np.where(by_log, np.log((highest + 1.0) / np.maximum(lowest, 1)), highest - lowest + 1.0)
    return _Pieces(where, lowest, highest, mass)


def _by_column(condition: Condition, encoding: Encoding) -> dict[str, _Allowed]:
    match condition:
        case AllOf(parts):
            found: dict[str, _Allowed] = {}
            for factor in parts:
                for name, allowed in _by_column(factor, encoding).items():
                    found[name] = found[name].also(allowed) if name in found else allowed
            return found
        case AnyOf(parts):
            each = [_by_column(part, encoding) for part in parts]
            names = {name for part in each for name in part}
            if len(names) > 1:
                raise UsageError(
                    "U192",
                    f"'or' joins the columns {', '.join(sorted(names))}",
                    "use 'or' within one column only, or draw a sample for each part",
                )
            (name,) = names
            either = each[0][name]
            for part in each[1:]:
                either = either.either(part[name])
            return {name: either}
        case ColumnsCompared(left, _, right):
            raise UsageError(
                "U193",
                f"the columns {left!r} and {right!r} are compared with each other",
                "compare each column with a value",
            )
        case _:
            return {condition.column: _question(condition, encoding)}


def _question(condition: Compared | OneOf | IsMissing, encoding: Encoding) -> _Allowed:
    name = condition.column
    column = encoding.schema.modelled.get(name)
    if column is None:
        raise UsageError("U194", f"there is no modelled column {name!r}", "ask about another column")
    match condition:
        case IsMissing(_, negated):
            return _missing(column, negated)
        case OneOf(_, values, negated):
            alone = [_question(Compared(name, "==", value), encoding) for value in values]
            either = alone[0]
            for allowed in alone[1:]:
                either = either.either(allowed)
            return _but(column, either) if negated else either
        case Compared(_, "!=", _):
            return _but(column, _question(_positive(condition), encoding))
        case Compared(_, relation, value):
            return _compared(name, column, relation, value)


def _positive(condition: Compared) -> Compared:
    opposite = negation(condition)
    assert isinstance(opposite, Compared)
    return opposite


def _missing(column: Modelled, negated: bool) -> _Allowed:
    nothing = _Allowed((), np.zeros(_singles(column), dtype=bool))
    if negated:
        return _but(column, nothing)
    if column.missing:
        nothing.single[-1] = True
    return nothing


def _singles(column: Modelled) -> int:
    """Cells outside a grid: all, or the special ones and the missing one."""
    grid = 0 if isinstance(column, CategoryColumn | BooleanColumn) else len(extent(column)[0])
    return value_cells(column) + column.missing - grid


def _but(column: Modelled, allowed: _Allowed) -> _Allowed:
    """Every value that is not missing and not allowed."""
    single = ~allowed.single
    if column.missing:
        single[-1] = False
    if isinstance(column, CategoryColumn | BooleanColumn):
        return _Allowed((), single)
    starts, ends, _ = extent(column)
    edges = [
        int(starts[0]),
        *(n for first, last in allowed.spans for n in (first - 1, last + 1)),
        int(ends[-1]),
    ]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return _Allowed(tuple((first, last) for first, last in pairs if first <= last), single)


def _compared(name: str, column: Modelled, relation: Relation, value: Value) -> _Allowed:
    if isinstance(column, CategoryColumn | BooleanColumn):
        return _Allowed((), _texts_that(name, column, relation, value))
    starts, ends, scale = extent(column)
    if isinstance(column, MomentColumn):
        at = Fraction(_moment(name, column, value))
    elif value.number is None:
        raise UsageError("U195", f"column {name!r} holds numbers", "write the value without quotes")
    else:
        at = value.number
    first, last = _range(relation, at * scale)
    low, high = int(starts[0]), int(ends[-1])
    spans = _common(((low, high),), ((low if first is None else first, high if last is None else last),))
    single = [_holds(Fraction(float(code)), relation, at) for code in special_values(column)]
    return _Allowed(spans, np.array(single + [False] * column.missing, dtype=bool))


def _holds(one: Fraction, relation: Relation, other: Fraction) -> bool:
    return {"==": one == other, "<": one < other, "<=": one <= other, ">": one > other}.get(
        relation, one >= other
    )


def _range(relation: Relation, at: Fraction) -> tuple[int | None, int | None]:
    """The whole numbers that stand in this relation to `at`; None for an open end."""
    match relation:
        case "<":
            return None, math.ceil(at) - 1
        case "<=":
            return None, math.floor(at)
        case ">":
            return math.floor(at) + 1, None
        case ">=":
            return math.ceil(at), None
        case _:
            return math.ceil(at), math.floor(at)


def _moment(name: str, column: MomentColumn, value: Value) -> int:
    """The step that a text names, written as in the project file."""
    form = {key: found for key in ("format", "timezone") if (found := getattr(column, key, None)) is not None}
    try:
        if value.number is not None:
            raise ValueError("a number")
        return type(column).model_validate({"min": value.text, "max": value.text, **form}).first
    except (ValidationError, ValueError):
        raise UsageError(
            "U195", f"column {name!r} holds a {column.noun}", "write it in quotes, as in the project file"
        ) from None


def _texts_that(name: str, column: CategoryColumn | BooleanColumn, relation: Relation, value: Value) -> Mask:
    texts = list(column.values if isinstance(column, CategoryColumn) else column.texts)
    place = _place(name, column, texts, value)
    if relation != "==" and not (isinstance(column, CategoryColumn) and column.ordered):
        raise UsageError("U195", f"the values of column {name!r} have no order", "use ==, != or in")
    found = [_holds(Fraction(i), relation, Fraction(place)) for i in range(len(texts))]
    return np.array(found + [False] * column.missing, dtype=bool)


def _place(name: str, column: CategoryColumn | BooleanColumn, texts: list[str], value: Value) -> int:
    if value.text in texts:
        return texts.index(value.text)
    if isinstance(column, BooleanColumn) and value.text.lower() in ("false", "true", "0", "1"):
        return int(value.text.lower() in ("true", "1"))
    raise UsageError("U195", f"column {name!r} has no such value", "the schema lists its values")


def _merged(spans: Spans) -> Spans:
    """The same steps, ascending and apart."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        elif first <= last:
            found.append((first, last))
    return tuple(found)


def _common(one: Spans, two: Spans) -> Spans:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in two)
    return _merged(tuple((first, last) for first, last in pairs if first <= last))


def _outside(taken: list[int], low: int, high: int) -> Spans:
    """All steps from `low` to `high` but those."""
    edges = [low - 1, *sorted(step for step in set(taken) if low <= step <= high), high + 1]
    return tuple((a + 1, b - 1) for a, b in pairwise(edges) if a + 1 <= b - 1)
