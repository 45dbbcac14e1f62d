"""read_table: any source, checked against the schema, as arrays. It releases nothing and costs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpsynth.addresses import address_of
from dpsynth.columns import Modelled
from dpsynth.errors import DataError
from dpsynth.ruled import RuledColumn
from dpsynth.schema import Schema
from dpsynth.table.coerce import Style, coerce, missing_mask, unpacked
from dpsynth.table.core import Array, Table
from dpsynth.table.ids import Spellings, id_texts, require_one_name
from dpsynth.table.misfit import DoesNotFit, Misfit
from dpsynth.table.parts import Part, Wanted
from dpsynth.table.ruled import ruled_values
from dpsynth.table.sources import Source, parts


def read_table(
    source: Source, schema: Schema, *, missing_values: Sequence[str] | None = None, require_unit: bool = True
) -> Table:
    """The table, every cell checked against `schema`.

    `missing_values` replaces the schema's own markers. `require_unit=False` accepts a table without id
    columns (somebody's synthetic rows); its `units` are then None. Raises DataError (D1xx) with column and
    line of the first cell that does not fit and how many more there are; never quotes a cell.
    """
    return _table(_Reading.of(source, schema, missing_values, require_unit))


def table_of(part: Part, schema: Schema, spellings: Spellings | None = None) -> Table:
    """One part of a larger source as a checked table; errors as `read_table`. `spellings`: of ids of the parts before."""
    unit = str(schema.unit.column)
    if unit in part.columns:
        require_one_name(unit, [part.columns[unit]])
        (spellings or Spellings(unit, schema.missing_values)).take(part.columns[unit])
    return _table(_Reading(schema, schema.missing_values, Wanted.of(schema, True), [part]))


def _table(reading: _Reading) -> Table:
    schema = reading.schema
    values, missing, failures = reading.columns()
    if failures:
        raise _failure(failures)
    ids = reading.ids()
    units, labels = _units(schema, ids, reading.found, reading.markers)
    for name, texts in ids.items():
        ruled = schema.columns.get(name)
        if isinstance(ruled, RuledColumn):
            values[name], missing[name] = ruled_values(
                name, ruled, texts, reading.markers, schema.csv.decimal
            )
        elif ruled is not None:
            values[name] = texts
    words = {name: words for name in schema.unknown if (words := _as_words(values, name)) is not None}
    return Table(schema, values, missing, units, labels, words)


def misfits(
    source: Source, schema: Schema, *, missing_values: Sequence[str] | None = None, require_unit: bool = True
) -> list[DataError]:
    """Everything that `read_table` would refuse, one error per column; empty when all rows fit."""
    try:
        reading = _Reading.of(source, schema, missing_values, require_unit)
    except DataError as error:
        return [error]
    _, _, failures = reading.columns()
    errors = [_failure([failure]) for failure in failures]
    try:
        _units(schema, reading.ids(), reading.found, reading.markers)
    except DataError as error:
        errors.append(error)
    return errors


def unfit_cells(source: Source, schema: Schema) -> dict[str, int]:
    """How many cells of each column `read_table` would refuse; columns that fit are left out.

    Raises DataError for what is no matter of cells: a file that cannot be read, a column that is not there.
    """
    reading = _Reading.of(source, schema, None, True)
    found: dict[str, int] = {}
    for name, column in schema.modelled.items():
        for part in reading.found:
            cells = reading._cells(name, column, part)
            if isinstance(cells, Misfit):
                found[name] = found.get(name, 0) + len(cells.rows)
    return found


Failure = tuple[str, Part, Misfit]


@dataclass(frozen=True)
class _Reading:
    """The parts of one source, and what they are read as."""

    schema: Schema
    markers: tuple[str, ...]
    wanted: Wanted
    found: list[Part]

    @classmethod
    def of(
        cls, source: Source, schema: Schema, missing_values: Sequence[str] | None, require_unit: bool
    ) -> _Reading:
        markers = tuple(schema.missing_values if missing_values is None else missing_values)
        wanted = Wanted.of(schema, require_unit)
        found, unit = list(parts(source, schema.csv, wanted)), schema.unit.column
        if unit is not None and _has(found, unit) and address_of(source) is None:
            require_one_name(unit, (part.columns[unit] for part in found))
        if unit is not None and _has(found, unit):
            spellings = Spellings(unit, markers)
            for part in found:
                spellings.take(part.columns[unit])
        return cls(schema, markers, wanted, found)

    def columns(self) -> tuple[dict[str, Array], dict[str, NDArray[np.bool_]], list[Failure]]:
        """Values and missing masks of the columns that fit, and why the others do not."""
        values: dict[str, Array] = {}
        missing: dict[str, NDArray[np.bool_]] = {}
        failures: list[Failure] = []
        for name, column in self.schema.modelled.items():
            read = [self._cells(name, column, part) for part in self.found]
            bad = [
                (name, part, cells)
                for part, cells in zip(self.found, read, strict=True)
                if isinstance(cells, Misfit)
            ]
            good = [cells for cells in read if not isinstance(cells, Misfit)]
            if bad:
                failures.append(bad[0])
            else:
                values[name] = _joined([array for array, _ in good])
                missing[name] = _joined([mask for _, mask in good])
        return values, missing, failures

    def _cells(self, name: str, column: Modelled, part: Part) -> tuple[Array, NDArray[np.bool_]] | Misfit:
        try:
            return coerce(column, part.columns[name], Style(self.markers, part.form))
        except DoesNotFit as error:
            return error.misfit
        except pa.ArrowException:
            return _unreadable(part)

    def ids(self) -> dict[str, Array]:
        """Texts of the columns that are not modelled, by name."""
        names = [name for name in self.wanted.needed if name not in self.schema.modelled]
        return {name: _ids(name, self.found) for name in names if _has(self.found, name)}


def _as_words(values: dict[str, Array], name: str) -> Array | None:
    """The different texts of a column whose values are to be discovered, sorted; its values become positions in them."""
    texts = values[name]
    if texts.dtype != object:
        return None
    encoded = pa.array(texts, pa.large_string()).dictionary_encode()
    words = np.asarray(encoded.dictionary.to_numpy(zero_copy_only=False), dtype=object)
    order = np.argsort(words)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    values[name] = rank[encoded.indices.to_numpy(zero_copy_only=False)]
    return words[order]


def _joined(arrays: list[Array]) -> Array:
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _unreadable(part: Part) -> Misfit:
    return Misfit(
        "D119", np.arange(part.rows), "cells are damaged or of an unknown kind", "write the file again"
    )


def _failure(failures: list[Failure]) -> DataError:
    name, part, misfit = failures[0]
    count = len(misfit.rows)
    more = f" (and {count - 1} more {'line' if count == 2 else 'lines'})" if count > 1 else ""
    others = [other for other, *_ in failures[1:]]
    also = (
        f"; {len(others)} more {'column does' if len(others) == 1 else 'columns do'} not fit"
        if others
        else ""
    )
    where = part.place(int(misfit.rows[0]))
    return DataError(misfit.code, f"column '{name}', {where}: {misfit.problem}{more}{also}", misfit.fix)


def _has(found: Iterable[Part], name: str) -> bool:
    return all(name in part.columns for part in found)


def _ids(name: str, found: Iterable[Part]) -> Array:
    """Texts of an id column, None where missing, shape (rows,)."""
    arrays = []
    for part in found:
        try:
            arrays.append(id_texts(unpacked(part.columns[name])).to_numpy())
        except DoesNotFit as error:
            raise _failure([(name, part, error.misfit)]) from None
        except pa.ArrowException:
            raise _failure([(name, part, _unreadable(part))]) from None
    return _joined(arrays).astype(object)


def _units(
    schema: Schema, ids: dict[str, Array], found: Sequence[Part], markers: tuple[str, ...]
) -> tuple[NDArray[np.int64] | None, Array | None]:
    """Dense codes of the unit column and their texts; a row without id is an error or a unit of its own."""
    column = schema.unit.column
    if column is None or column not in ids:
        return None, None
    texts = pa.chunked_array([pa.array(ids[column], type=pa.large_string())])
    gone = missing_mask(texts, ("", *markers))
    if gone.any() and schema.unit.missing == "error":
        raise _missing_unit(column, schema.unit.entity, gone, found)
    encoded = texts.combine_chunks().dictionary_encode()
    codes = np.array(encoded.indices.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
    labels = np.asarray(encoded.dictionary.to_numpy(zero_copy_only=False), dtype=object)
    if gone.any():
        codes[gone] = len(labels) + np.arange(int(gone.sum()))
        labels = np.concatenate([labels, np.full(int(gone.sum()), None, dtype=object)])
    return codes, labels


def _missing_unit(column: str, entity: str, gone: Any, found: Sequence[Part]) -> DataError:
    rows = np.flatnonzero(gone)
    first, start = int(rows[0]), 0
    for part in found:
        if first < start + part.rows:
            break
        start += part.rows
    misfit = Misfit(
        "D118",
        rows - start,
        f"no {entity} id",
        "complete it, or declare unit: {missing: own} if each is someone else",
    )
    return _failure([(column, part, misfit)])
