"""A condition on rows as evidence about cells: exact also where a condition cuts a cell in two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.allowed import Allowed, Spans, Stepped, common_spans, question, spans_outside
from dpsynth.columns import BooleanColumn, CategoryColumn, NumberColumn
from dpsynth.conditions import AllOf, AnyOf, ColumnsCompared, Condition, SumCompared, columns_of
from dpsynth.encoding import Encoding, extent, is_log, special_steps, spread
from dpsynth.errors import UsageError
from dpsynth.records import Records
from dpsynth.table import Table

Floats = NDArray[np.float64]


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

    ``weights[attribute]`` is the share of each cell's values that are allowed, shape (cells,), 0 to 1;
    ``allowed[attribute]`` are those values.
    """

    weights: Mapping[str, Floats]
    _pieces: Mapping[str, _Pieces]
    allowed: Mapping[str, Allowed]

    @classmethod
    def of(cls, condition: Condition, encoding: Encoding) -> Evidence:
        """Raises UsageError: U192 for "or" between columns, U193 for one column beside another, U194 for a column that
        is not modelled, U195 for a value or an order that a column cannot have."""
        weights, pieces = {}, {}
        found = _by_column(condition, encoding)
        for name, allowed in found.items():
            column = encoding.schema.modelled[name]
            weights[name] = allowed.single.astype(np.float64)
            if not isinstance(column, CategoryColumn | BooleanColumn):
                shares, pieces[name] = _cut(column, allowed.spans)
                weights[name] = np.concatenate([shares, weights[name]])
        return cls(weights, pieces, found)

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
    free = spans_outside(special_steps(column), int(starts[0]), int(ends[-1]))
    whole, inside = (
        _stretches(column, free, starts, ends),
        _stretches(column, common_spans(spans, free), starts, ends),
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
    mass = np.where(
        by_log, np.log(np.maximum(highest + 1.0, 1) / np.maximum(lowest, 1)), highest - lowest + 1.0
    )
    return _Pieces(where, lowest, highest, mass)


def _by_column(condition: Condition, encoding: Encoding) -> dict[str, Allowed]:
    match condition:
        case AllOf(parts):
            found: dict[str, Allowed] = {}
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
        case ColumnsCompared() | SumCompared():
            raise UsageError(
                "U193",
                f"the columns {', '.join(map(repr, sorted(columns_of(condition))))} are compared with each other",
                "compare each column with a value",
            )
        case _:
            return {condition.column: question(condition, encoding)}
