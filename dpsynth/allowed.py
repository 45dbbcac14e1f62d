"""The values of a column that meet a question about it, as stretches of its grid and single cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

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
from dpsynth.conditions import Compared, IsMissing, OneOf, Relation, Value, negation
from dpsynth.encoding import Encoding, extent, special_values
from dpsynth.errors import UsageError
from dpsynth.ruled import not_modelled

Mask = NDArray[np.bool_]
Spans = tuple[tuple[int, int], ...]
"""Steps of a column's grid, first and last included, ascending, apart."""
Stepped = IntegerColumn | MomentColumn | NumberColumn


@dataclass(frozen=True, eq=False)
class Allowed:
    """What a column may be: steps of its grid, and cells outside the grid (all cells of a column without one)."""

    spans: Spans
    single: Mask

    def also(self, other: Allowed) -> Allowed:
        return Allowed(common_spans(self.spans, other.spans), self.single & other.single)

    def either(self, other: Allowed) -> Allowed:
        return Allowed(merged_spans(self.spans + other.spans), self.single | other.single)


def question(condition: Compared | OneOf | IsMissing, encoding: Encoding) -> Allowed:
    name = condition.column
    column = encoding.schema.modelled.get(name)
    if column is None:
        why, instead = not_modelled(encoding.schema.columns.get(name))
        raise UsageError("U194", f"there is no modelled column {name!r}{why}", f"ask about {instead}")
    match condition:
        case IsMissing(_, negated):
            return _missing(column, negated)
        case OneOf(_, values, negated):
            alone = [question(Compared(name, "==", value), encoding) for value in values]
            either = alone[0]
            for allowed in alone[1:]:
                either = either.either(allowed)
            return but(column, either) if negated else either
        case Compared(_, "!=", _):
            return but(column, question(_positive(condition), encoding))
        case Compared(_, relation, value):
            return _compared(name, column, relation, value)


def _positive(condition: Compared) -> Compared:
    opposite = negation(condition)
    assert isinstance(opposite, Compared)
    return opposite


def _missing(column: Modelled, negated: bool) -> Allowed:
    nothing = Allowed((), np.zeros(_singles(column), dtype=bool))
    if negated:
        return but(column, nothing)
    if column.missing:
        nothing.single[-1] = True
    return nothing


def _singles(column: Modelled) -> int:
    """Cells outside a grid: all, or the special ones and the missing one."""
    grid = 0 if isinstance(column, CategoryColumn | BooleanColumn) else len(extent(column)[0])
    return value_cells(column) + column.missing - grid


def but(column: Modelled, allowed: Allowed) -> Allowed:
    """Every value that is not missing and not allowed."""
    single = ~allowed.single
    if column.missing:
        single[-1] = False
    if isinstance(column, CategoryColumn | BooleanColumn):
        return Allowed((), single)
    starts, ends, _ = extent(column)
    edges = [
        int(starts[0]),
        *(n for first, last in allowed.spans for n in (first - 1, last + 1)),
        int(ends[-1]),
    ]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return Allowed(tuple((first, last) for first, last in pairs if first <= last), single)


def _compared(name: str, column: Modelled, relation: Relation, value: Value) -> Allowed:
    if isinstance(column, CategoryColumn | BooleanColumn):
        return Allowed((), _texts_that(name, column, relation, value))
    starts, ends, scale = extent(column)
    if isinstance(column, MomentColumn):
        at = Fraction(_moment(name, column, value))
    elif value.number is None:
        raise UsageError("U195", f"column {name!r} holds numbers", "write the value without quotes")
    else:
        at = value.number
    first, last = _range(relation, at * scale)
    low, high = int(starts[0]), int(ends[-1])
    spans = common_spans(((low, high),), ((low if first is None else first, high if last is None else last),))
    single = [_holds(Fraction(float(code)), relation, at) for code in special_values(column)]
    return Allowed(spans, np.array(single + [False] * column.missing, dtype=bool))


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
    found = np.zeros(len(texts) + column.missing, dtype=bool)
    first, last = _range(relation, Fraction(place))
    found[first : len(texts) if last is None else last + 1] = True
    return found


def _place(name: str, column: CategoryColumn | BooleanColumn, texts: list[str], value: Value) -> int:
    if value.text in texts:
        return texts.index(value.text)
    if isinstance(column, BooleanColumn) and value.text.lower() in ("false", "true", "0", "1"):
        return int(value.text.lower() in ("true", "1"))
    raise UsageError("U195", f"column {name!r} has no such value", "the schema lists its values")


def merged_spans(spans: Spans) -> Spans:
    """The same steps, ascending and apart."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        elif first <= last:
            found.append((first, last))
    return tuple(found)


def common_spans(one: Spans, two: Spans) -> Spans:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in two)
    return merged_spans(tuple((first, last) for first, last in pairs if first <= last))


def spans_outside(taken: list[int], low: int, high: int) -> Spans:
    """All steps from `low` to `high` but those."""
    edges = [low - 1, *sorted(step for step in set(taken) if low <= step <= high), high + 1]
    return tuple((a + 1, b - 1) for a, b in pairwise(edges) if a + 1 <= b - 1)
