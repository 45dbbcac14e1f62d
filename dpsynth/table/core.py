"""Table: a checked table in memory, one array per column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpsynth.columns import (
    BooleanColumn,
    CategoryColumn,
    IntegerColumn,
    Modelled,
    MomentColumn,
    NumberColumn,
)
from dpsynth.errors import UsageError
from dpsynth.ruled import RuledColumn
from dpsynth.schema import Schema
from dpsynth.table.moments import frame_values
from dpsynth.table.ruled import ruled_series

Array = NDArray[Any]
_TEXT = pd.Series(["text"]).dtype
"""What this pandas holds text in: str from version 3, object before."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows that fit `schema`; private when they were read, free when they were decoded from a model.

    `values` has one array of shape (rows,) per column that is not dropped: integer int64, number float64, dates and other
    moments int64 (their steps: days since 1970-01-01, ...), category int32 (position in the schema's values), boolean
    uint8, id object (text). `missing` has a boolean array for each modelled column; where it is set, the value is a
    filler. `units` are codes 0, 1, 2, ... of the unit column (None when a unit is a row), `unit_labels` their
    texts by code. `words` holds the texts of each category whose values are still to be discovered: its values are
    positions among these.
    """

    schema: Schema
    values: Mapping[str, Array]
    missing: Mapping[str, NDArray[np.bool_]]
    units: NDArray[np.int64] | None = None
    unit_labels: Array | None = None
    words: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.values.values()))) if self.values else 0

    def take(self, index: Array | slice) -> Table:
        """The chosen rows (an index array, a boolean mask or a slice)."""
        return Table(
            self.schema,
            {name: array[index] for name, array in self.values.items()},
            {name: array[index] for name, array in self.missing.items()},
            None if self.units is None else self.units[index],
            self.unit_labels,
            self.words,
        )

    def under(self, schema: Schema) -> Table:
        """The same rows under a schema that knows what this one was still to discover: values that are not among its
        values become the one for others, numbers outside its bounds the bound."""
        if schema is self.schema or not self.schema.unknown:
            return self
        found = {name: known(self, name, schema.modelled[name]) for name in self.schema.unknown}
        return Table(schema, {**self.values, **found}, self.missing, self.units, self.unit_labels)

    def to_frame(self) -> pd.DataFrame:
        """A frame in the form that the schema declares, columns in its order.

        Types follow from the schema alone, never from the rows: int64, or Int64 where values may be missing;
        float64; text; booleans as declared (texts, else bool or nullable boolean); dates
        and instants as datetime64, lengths of time as timedelta64, times of day as datetime.time.
        """
        columns: dict[str, Any] = {}
        for name in self.schema.written:
            if name in self.values:
                column = self.schema.modelled.get(name)
                array = self.values[name]
                ruled = self.schema.columns.get(name)
                if isinstance(ruled, RuledColumn):
                    columns[name] = ruled_series(ruled, array, self.missing[name], _TEXT)
                elif column is None:
                    columns[name] = pd.Series(array, dtype=_TEXT)
                else:
                    columns[name] = as_series(column, array, self.missing[name])
        return pd.DataFrame(columns, index=pd.RangeIndex(len(self)))

    def to_arrow(self) -> Any:
        """A pyarrow Table; texts are plain, types follow from the schema alone."""
        from dpsynth.table.streaming import arrow_of

        return arrow_of(self)

    def to_polars(self) -> Any:
        """A polars frame. Raises UsageError (U263) when polars is not installed."""
        try:
            import polars
        except ImportError:
            raise UsageError("U263", "polars is not installed", "pip install polars") from None
        return polars.from_arrow(self.to_arrow())


def known(table: Table, name: str, column: Modelled) -> Array:
    """The values of a column whose domain was discovered since the table was read."""
    values = table.values[name]
    match column:
        case CategoryColumn():
            place = {text: i for i, text in enumerate(column.values)}
            codes = np.array([place.get(word, len(place) - 1) for word in table.words[name]], dtype=np.int32)
            return codes[values] if len(codes) else values
        case IntegerColumn() | NumberColumn():
            coded = np.isin(values, column.special)
            return np.where(coded, values, np.clip(values, column.min, column.max)).astype(values.dtype)
        case _:
            return values


def joined(parts: Sequence[Table]) -> Table:
    """The rows of all parts, one at least, in their order. No unit is in two parts."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    units, labels = _joined_units(parts)
    texts = {name: _joined_words(parts, name) for name in first.words}
    return Table(
        first.schema,
        {
            name: texts[name][0] if name in texts else np.concatenate([part.values[name] for part in parts])
            for name in first.values
        },
        {name: np.concatenate([part.missing[name] for part in parts]) for name in first.missing},
        units,
        labels,
        {name: words for name, (_, words) in texts.items()},
    )


def _joined_words(parts: Sequence[Table], name: str) -> tuple[Array, Array]:
    """The positions of a column of texts in one list of those that occur, sorted; and the list."""
    used = [np.unique(part.values[name]) for part in parts]
    words = sorted(
        {word for part, kept in zip(parts, used, strict=True) for word in part.words[name][kept].tolist()}
    )
    place = {word: i for i, word in enumerate(words)}
    found = []
    for part, kept in zip(parts, used, strict=True):
        into = np.zeros(len(part.words[name]), dtype=np.int32)
        into[kept] = [place[word] for word in part.words[name][kept].tolist()]
        found.append(into[part.values[name]])
    return np.concatenate(found), np.array(words, dtype=object)


def _joined_units(parts: Sequence[Table]) -> tuple[NDArray[np.int64] | None, Array | None]:
    codes: list[Array] = []
    labels: list[Array] = []
    for part in parts:
        if part.units is None or part.unit_labels is None:
            return None, None
        codes.append(part.units + sum(len(known) for known in labels))
        labels.append(part.unit_labels)
    return np.concatenate(codes), np.concatenate(labels)


def as_series(column: Modelled, array: Array, missing: NDArray[np.bool_]) -> Any:
    """A column of `Table.to_frame`."""
    if isinstance(column, BooleanColumn):
        return _truths(column, array, missing)
    match column:
        case IntegerColumn():
            return _integers(array, missing, column.missing)
        case NumberColumn():
            return np.where(missing, np.nan, array)
        case MomentColumn():
            return frame_values(column, array, missing)
        case CategoryColumn(written="integer"):
            numbers = np.array([int(value) for value in column.values], dtype=np.int64)
            return _integers(numbers[array], missing, column.missing)
        case CategoryColumn():
            return _texts(column.values, array, missing)


def _truths(column: BooleanColumn, array: Array, missing: NDArray[np.bool_]) -> Any:
    if column.true_value is not None:
        return _texts(column.texts, array, missing)
    truth = array.astype(bool)
    return pd.arrays.BooleanArray(truth, missing.copy()) if column.missing else truth


def _integers(array: Array, missing: NDArray[np.bool_], nullable: bool) -> Any:
    return (
        pd.arrays.IntegerArray(array.astype(np.int64), missing.copy()) if nullable else array.astype(np.int64)
    )


def _texts(texts: tuple[str, ...], array: Array, missing: NDArray[np.bool_]) -> Any:
    known = np.array([*texts, None], dtype=object)
    return pd.Series(known[np.where(missing, len(texts), array)], dtype=_TEXT)
