"""read_table: any source, checked against the schema, as arrays. It releases nothing and costs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpsynth.columns import Modelled
from dpsynth.errors import DataError
from dpsynth.schema import Schema
from dpsynth.table.coerce import DoesNotFit, Misfit, Style, coerce, missing_mask, to_text, unpacked
from dpsynth.table.core import Array, Table
from dpsynth.table.parts import Part, Wanted
from dpsynth.table.sources import Source, parts


def read_table(
    source: Source, schema: Schema, *, missing_values: Sequence[str] | None = None, require_unit: bool = True
) -> Table:
    """The table, every cell checked against `schema`.

    `missing_values` replaces the schema's own markers. `require_unit=False` accepts a table without id
    columns (somebody's synthetic rows); its `units` are then None. Raises DataError (D1xx) with column and
    line of the first cell that does not fit and how many more there are; never quotes a cell.
    """
    markers = tuple(schema.missing_values if missing_values is None else missing_values)
    wanted = Wanted.of(schema, require_unit)
    found = list(parts(source, schema.csv, wanted))
    style = Style(markers, schema.csv if isinstance(source, str) or hasattr(source, "__fspath__") else None)
    values: dict[str, Array] = {}
    missing: dict[str, NDArray[np.bool_]] = {}
    failures: list[tuple[str, Part, Misfit]] = []
    for name, column in schema.modelled.items():
        _read_column(name, column, found, style, values, missing, failures)
    if failures:
        raise _failure(failures)
    ids = {
        name: _ids(name, found) for name in wanted.needed if name not in schema.modelled and _has(found, name)
    }
    units, labels = _units(schema, ids, found, markers)
    values.update({name: array for name, array in ids.items() if name in schema.columns})
    return Table(schema, values, missing, units, labels)


def _read_column(
    name: str,
    column: Modelled,
    found: Iterable[Part],
    style: Style,
    values: dict[str, Array],
    missing: dict[str, NDArray[np.bool_]],
    failures: list[tuple[str, Part, Misfit]],
) -> None:
    arrays, masks = [], []
    for part in found:
        try:
            array, mask = coerce(column, part.columns[name], style)
        except DoesNotFit as error:
            failures.append((name, part, error.misfit))
            return
        except pa.ArrowException:
            failures.append((name, part, _unreadable(part)))
            return
        arrays.append(array)
        masks.append(mask)
    values[name] = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    missing[name] = np.concatenate(masks) if len(masks) > 1 else masks[0]


def _unreadable(part: Part) -> Misfit:
    return Misfit(
        "D119", np.arange(part.rows), "cells are damaged or of an unknown kind", "write the file again"
    )


def _failure(failures: list[tuple[str, Part, Misfit]]) -> DataError:
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
            texts = to_text(unpacked(part.columns[name]))
        except DoesNotFit as error:
            raise _failure([(name, part, error.misfit)]) from None
        except pa.ArrowException:
            raise _failure([(name, part, _unreadable(part))]) from None
        arrays.append(texts.to_numpy())
    return np.concatenate(arrays).astype(object) if len(arrays) > 1 else np.asarray(arrays[0], dtype=object)


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
