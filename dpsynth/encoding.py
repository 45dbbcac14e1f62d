"""Encoding: values <-> cells, the same public mapping for every engine. Knows the schema, never the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import (
    BooleanColumn,
    CategoryColumn,
    IdColumn,
    IntegerColumn,
    Modelled,
    MomentColumn,
    NumberColumn,
    value_cells,
)
from dpsynth.domain import Domain
from dpsynth.errors import DataError
from dpsynth.records import Codes, Records, code_dtype
from dpsynth.schema import Schema
from dpsynth.table import Table

Floats = NDArray[np.float64]


class Encoding:
    """Codecs of a schema's modelled columns.

    Cells of a column are 0, 1, ... in the schema's order; where values may be missing, that is one more cell,
    the last.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.domain: Domain = schema.domain
        self._columns = schema.modelled

    def encode(self, table: Table) -> Records:
        """Records of the table's rows, in its order."""
        columns: list[Codes] = []
        for name, column in self._columns.items():
            cells = _encode(column, table.values[name])
            if column.missing:
                cells = np.where(table.missing[name], value_cells(column), cells)
            columns.append(np.ascontiguousarray(cells, dtype=code_dtype(self.domain[name])))
        return Records(self.domain, tuple(columns))

    def decode(
        self,
        records: Records,
        rng: np.random.Generator,
        first_id: int = 1,
        unit: NDArray[np.int64] | None = None,
    ) -> Table:
        """A table whose rows encode to `records` again.

        Within a cell values are spread uniformly over those it can hold. Id columns count upwards from
        `first_id`. `unit`: each row's unit, numbered from 0, ascending; the unit's column then counts units. ValueError for
        a schema that leaves something to discover: its cells have no values yet.
        """
        if self.schema.unknown:
            raise ValueError(f"values of {', '.join(self.schema.unknown)} are still to be discovered")
        rows = len(records)
        values: dict[str, NDArray[Any]] = {}
        missing: dict[str, NDArray[np.bool_]] = {}
        for name, column in self.schema.columns.items():
            if isinstance(column, IdColumn):
                values[name] = (
                    fresh_ids(column.format, first_id, rows)
                    if unit is None or name != self.schema.unit.column
                    else repeated_ids(column.format, unit)
                )
        for name, modelled in self._columns.items():
            cells = records[name].astype(np.int64)
            gone = cells >= value_cells(modelled)
            values[name] = _decode(modelled, np.where(gone, 0, cells), rng)
            missing[name] = gone
        return Table(self.schema, values, missing)

    def require_ids(self, rows: int, units: int | None = None) -> None:
        """Raises DataError (D201) when an id column's format has too few digits for so many rows, or the unit's column
        for so many units."""
        for name, column in self.schema.columns.items():
            if isinstance(column, IdColumn):
                counted = rows if units is None or name != self.schema.unit.column else units
                require_digits(column.format, counted)

    def is_ordered(self, attribute: str) -> bool:
        """Whether neighbouring cells are near in meaning."""
        column = self._columns[attribute]
        return column.ordered if isinstance(column, CategoryColumn) else not isinstance(column, BooleanColumn)

    def ordered_cells(self, attribute: str) -> int:
        """How many cells, from the first, lie on an ordered scale: no special value and not the missing one."""
        column = self._columns[attribute]
        special = len(column.special) if isinstance(column, IntegerColumn | NumberColumn) else 0
        return value_cells(column) - special if self.is_ordered(attribute) else 0

    def missing_cell(self, attribute: str) -> int | None:
        """The cell that stands for a missing value."""
        column = self._columns[attribute]
        return value_cells(column) if column.missing else None

    def labels(self, attribute: str) -> list[str]:
        """One readable text per cell."""
        column = self._columns[attribute]
        texts = _labels(column)
        return [*texts, _missing_label(texts)] if column.missing else texts

    def midpoints(self, attribute: str) -> Floats:
        """A number per cell, shape (cells,): the mean of the values it holds (a date's day number, steps of
        other moments); the rank
        for an ordered category, 0 and
        1 for a boolean; NaN for the missing cell, for special values outside the bounds and for categories
        without order."""
        column = self._columns[attribute]
        middle = _midpoints(column)
        return np.append(middle, np.nan) if column.missing else middle

    def cell_bounds(self, attribute: str) -> tuple[Floats, Floats]:
        """Smallest and largest value of each numeric cell, shape (cells,); NaN for texts and for missing."""
        column = self._columns[attribute]
        if isinstance(column, CategoryColumn | BooleanColumn):
            nothing = np.full(self.domain[attribute], np.nan)
            return nothing, nothing.copy()
        low, high, scale = extent(column)
        after = np.append(special_values(column), [np.nan] * column.missing)
        return np.append(low / scale, after), np.append(high / scale, after)


def require_digits(form: str, last: int) -> None:
    """Raises DataError (D201) when a format has too few digits for ids up to number `last`."""
    digits = form.count("#")
    if last >= 10**digits:
        raise DataError(
            "D201", f"{digits} digits are too few for {last:,} ids", "give the id's format more '#'"
        )


def fresh_ids(form: str, first: int, count: int) -> NDArray[np.object_]:
    """`count` ids from number `first` on. Raises DataError (D201) when the format has too few digits."""
    require_digits(form, first + count - 1)
    digits = form.count("#")
    before, after = form.split("#" * digits)
    return np.array([f"{before}{i:0{digits}d}{after}" for i in range(first, first + count)], dtype=object)


def repeated_ids(form: str, unit: NDArray[np.int64]) -> NDArray[np.object_]:
    """The id of each row's unit; unit 0 has number 1."""
    if not len(unit):
        return np.empty(0, dtype=object)
    first = int(unit[0])
    return np.asarray(fresh_ids(form, first + 1, int(unit[-1]) - first + 1)[unit - first])


def _encode(column: Modelled, values: NDArray[Any]) -> NDArray[Any]:
    match column:
        case MomentColumn():
            return np.searchsorted(column.starts, values, side="right") - 1
        case IntegerColumn() | NumberColumn():
            edges = column.starts if isinstance(column, IntegerColumn) else column.lower
            cells: NDArray[np.int64]
            if isinstance(column, IntegerColumn) and edges[-1] - edges[0] == len(edges) - 1:
                cells = np.minimum(values - edges[0], len(edges) - 1)  # a cell for each number
            else:
                cells = np.searchsorted(edges, values, side="right") - 1
            for i, code in enumerate(column.special):
                cells[values == code] = len(edges) + i
            return cells
        case _:
            return values


def special_values(column: IntegerColumn | MomentColumn | NumberColumn) -> Floats:
    """Values with a cell of their own, which come after those of the grid."""
    return np.array(() if isinstance(column, MomentColumn) else column.special, dtype=np.float64)


def extent(
    column: IntegerColumn | MomentColumn | NumberColumn,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """First and last step of each cell, and steps per unit."""
    if isinstance(column, NumberColumn):
        starts, last = column.steps
        scale = int(10**column.digits)
    else:
        starts, last, scale = column.starts, column.last, 1
    return starts, np.append(starts[1:] - 1, last), scale


def _decode(column: Modelled, cells: NDArray[np.int64], rng: np.random.Generator) -> NDArray[Any]:
    match column:
        case IntegerColumn() | MomentColumn() | NumberColumn():
            low, high, scale = extent(column)
            special = special_values(column)
            coded = cells >= len(low)
            grid = np.where(coded, 0, cells)
            steps = spread(column, low[grid], high[grid], rng)
            # one correctly rounded division: the double that the decimal text reads as
            values = steps / scale if isinstance(column, NumberColumn) else steps
            values[coded] = special[cells[coded] - len(low)]
            return values
        case CategoryColumn():
            return cells.astype(np.int32)
        case BooleanColumn():
            return cells.astype(np.uint8)


def is_log(column: IntegerColumn | MomentColumn | NumberColumn, low: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cells whose values are spread on a logarithmic scale."""
    return (low > 0) & (not isinstance(column, MomentColumn) and column.spread == "log")


def spread(
    column: IntegerColumn | MomentColumn | NumberColumn,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """A step between `low` and `high` for each, both included, and none that has a cell of its own."""
    steps: NDArray[np.int64] = rng.integers(low, high, endpoint=True)
    chosen = is_log(column, low)
    if chosen.any():
        a, b = low[chosen], high[chosen]
        position = rng.random(len(a))
        logarithmic = np.floor(a * ((b + 1.0) / a) ** position).astype(np.int64)
        steps[chosen] = np.clip(logarithmic, a, b)
    return _beside(special_steps(column), steps, low, high, rng)


def special_steps(column: IntegerColumn | MomentColumn | NumberColumn) -> list[int]:
    match column:
        case IntegerColumn():
            return sorted(column.special)
        case NumberColumn():
            return sorted(column.special_steps)
        case _:
            return []


def _beside(
    special: list[int],
    steps: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Steps that fell on a special value are drawn again among the others of their cell, evenly."""
    hit = np.isin(steps, special)
    if hit.any():
        first, last = low[hit], high[hit]
        taken = sum(((first <= s) & (s <= last)).astype(np.int64) for s in special)
        again = rng.integers(first, last - taken, endpoint=True)
        for value in special:  # smallest first: everything from it on moves up by one
            again += (first <= value) & (again >= value)
        steps[hit] = again
    return steps


def _log_mean(low: NDArray[np.int64], high: NDArray[np.int64]) -> Floats:
    """Mean of the logarithmic spread on [low, high + 1), less the half step that rounding down takes."""
    a, b = np.maximum(low, 1).astype(np.float64), np.maximum(high, 1) + 1.0
    return np.clip((b - a) / np.log(b / a) - 0.5, low, high)


def _labels(column: Modelled) -> list[str]:
    match column:
        case CategoryColumn():
            return list(column.values)
        case BooleanColumn():
            return list(column.texts)
        case IntegerColumn():
            low, high, _ = extent(column)
            spans = [_span(str(a), str(b)) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
            return spans + [_code(str(value), spans) for value in column.special]
        case MomentColumn():
            low, high, _ = extent(column)
            ends = zip(low.tolist(), high.tolist(), strict=True)
            return [_span(column.label(a), column.label(b)) for a, b in ends]
        case NumberColumn():
            low, high, scale = extent(column)
            pairs = zip((low / scale).tolist(), (high / scale).tolist(), strict=True)
            spans = [_span(_number(a, column.digits), _number(b, column.digits)) for a, b in pairs]
            return spans + [_code(f"{value:g}", spans) for value in column.special]


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _code(text: str, spans: list[str]) -> str:
    """A special value's label, told apart from a cell of the grid that reads alike."""
    return f"exactly {text}" if text in spans else text


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"


def _missing_label(texts: list[str]) -> str:
    return "missing" if "missing" not in texts else "(missing)"


def _meant(column: IntegerColumn | MomentColumn | NumberColumn) -> Floats:
    """Special values as numbers: inside the bounds they are amounts, outside them codes without a size."""
    special = special_values(column)
    if isinstance(column, MomentColumn):
        return special
    return np.where((special >= column.min) & (special <= column.max), special, np.nan)


def _midpoints(column: Modelled) -> Floats:
    match column:
        case IntegerColumn() | MomentColumn() | NumberColumn():
            low, high, scale = extent(column)
            even = (low.astype(np.float64) + high) / 2
            middle = np.where(is_log(column, low), _log_mean(low, high), even) / scale
            return np.append(middle, _meant(column))
        case CategoryColumn():
            return (
                np.arange(len(column.values), dtype=np.float64)
                if column.ordered
                else np.full(len(column.values), np.nan)
            )
        case BooleanColumn():
            return np.array([0.0, 1.0])
