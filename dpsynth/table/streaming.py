"""write_tables: any number of rows to csv or parquet, a batch at a time, whole or not at all."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dpsynth.columns import BooleanColumn, CategoryColumn, IntegerColumn, Modelled, MomentColumn, TimeColumn
from dpsynth.errors import DataError
from dpsynth.ruled import RuledColumn
from dpsynth.schema import CsvFormat, Schema
from dpsynth.table.core import Table, as_series
from dpsynth.table.moments import written_texts
from dpsynth.table.ruled import ruled_arrow, ruled_texts
from dpsynth.table.writing import staged, unknown_format

Arrow = Any
Mask = NDArray[np.bool_]


def write_tables(
    tables: Iterable[Table],
    path: str | os.PathLike[str],
    schema: Schema,
    told: Callable[[int], None] = lambda rows: None,
    notes: Mapping[str, str] | None = None,
) -> int:
    """Write all tables, one at least, under one another, by suffix (.csv, .csv.gz, .parquet); how many rows.

    One table is held at a time; `told` hears how many rows are written; a parquet file carries `notes`. Content, errors
    and atomicity are those of `write_table` for one frame of all rows.
    """
    target = Path(path)
    name = target.name.lower()
    write: Callable[[Iterator[Table], Any, Schema], int]
    if name.endswith((".parquet", ".pq")):
        write = partial(_write_parquet, notes=notes or {})
    elif name.endswith((".csv", ".csv.gz")):
        write = _write_zipped if name.endswith(".gz") else _write_csv
    else:
        raise unknown_format(target)
    with staged(target) as file:
        return write(_counted(tables, told), file, schema)


def stream_csv(tables: Iterable[Table], file: IO[bytes], schema: Schema) -> int:
    """As `write_tables` writes a csv file, to an open one such as standard output; how many rows."""
    return _write_csv(iter(tables), file, schema)


def _counted(tables: Iterable[Table], told: Callable[[int], None]) -> Iterator[Table]:
    rows = 0
    for table in tables:
        yield table
        rows += len(table)
        told(rows)


def _write_parquet(tables: Iterator[Table], file: IO[bytes], schema: Schema, notes: Mapping[str, str]) -> int:
    first = next(tables)
    kinds = _arrow(first).schema
    # as the file is read: categories, which are written from a dictionary, are texts like any other
    plain = pa.schema(
        [(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in kinds]
    )
    noted = {"ARROW:schema": base64.b64encode(plain.serialize().to_pybytes())}
    rows = 0
    # few values each, however they are written: a dictionary is smaller and no slower
    listed = [
        f.name for f in kinds if isinstance(schema.modelled.get(f.name), CategoryColumn | BooleanColumn)
    ]
    # rows stand in random order: a group's smallest and largest values tell nothing, and cost half the time
    options = {"store_schema": False, "use_dictionary": listed, "write_statistics": False}
    with pq.ParquetWriter(file, kinds, **options) as writer:
        for table in chain((first,), tables):
            writer.write_table(_arrow(table))
            rows += len(table)
        writer.add_key_value_metadata({**noted, **notes})
    return rows


def _arrow(table: Table) -> Any:
    """Columns in the schema's order; those with listed texts as dictionaries."""
    found: dict[str, Arrow] = {}
    for name in table.schema.written:
        if name in table.values:
            column = table.schema.modelled.get(name)
            texts = None if column is None else _listed(column)
            if texts is not None:
                codes = pa.array(table.values[name].astype(np.int32), mask=table.missing[name])
                found[name] = pa.DictionaryArray.from_arrays(codes, pa.array(texts, pa.large_string()))
            elif isinstance(ruled := table.schema.columns.get(name), RuledColumn):
                found[name] = ruled_arrow(ruled, table.values[name], table.missing[name])
            elif column is None:
                found[name] = pa.array(table.values[name], pa.large_string())
            else:
                series = as_series(column, table.values[name], table.missing[name])
                # an object column without a value would have no type
                kind = pa.time64("us") if isinstance(column, TimeColumn) else None
                found[name] = pa.array(series, kind, from_pandas=True)
    return pa.table(found)


def arrow_of(table: Table) -> Arrow:
    """All rows as an Arrow table, as a parquet file of them is read: without dictionaries."""
    found = _arrow(table)
    kinds = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in found.schema]
    return found.cast(pa.schema(list(zip(found.schema.names, kinds, strict=True))))


def _listed(column: Modelled) -> Sequence[str] | None:
    """All texts that the column is written with, by code."""
    if isinstance(column, CategoryColumn) and column.written == "text":
        return column.values
    if isinstance(column, BooleanColumn) and column.true_value is not None:
        return column.texts
    return None


def _write_zipped(tables: Iterator[Table], file: IO[bytes], schema: Schema) -> int:
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        return _write_csv(tables, packed, schema)


def _write_csv(tables: Iterator[Table], file: Any, schema: Schema) -> int:
    form, rows = schema.csv, 0
    for number, table in enumerate(tables):
        names = [name for name in schema.written if name in table.values]
        if number == 0:
            file.write(_encoded(_fields(names, form, alone=True) + "\n", form))
        texts = [_texts(table, name, form) for name in names]
        if len(texts) == 1:  # an empty line would be no row
            texts = [pc.if_else(pc.equal(texts[0], _scalar("")), _scalar(form.quote * 2), texts[0])]
        lines = pc.binary_join_element_wise(*texts, _scalar(form.delimiter))
        file.write(_bytes(pc.binary_join_element_wise(lines, _scalar("\n"), _scalar("")), form))
        rows += len(table)
    return rows


def _scalar(text: str) -> Any:
    return pa.scalar(text, pa.large_string())


def _bytes(lines: Arrow, form: CsvFormat) -> bytes | memoryview:
    """The texts of an array, one behind the other: what lies in its buffer already."""
    array = lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines
    ends = np.frombuffer(array.buffers()[1], dtype=np.int64)
    first, last = int(ends[array.offset]), int(ends[array.offset + len(array)])
    data = memoryview(array.buffers()[2])[first:last] if last > first else memoryview(b"")
    return data if form.encoding == "utf-8" else _encoded(bytes(data).decode(), form)


def _encoded(text: str, form: CsvFormat) -> bytes:
    try:
        return text.encode(form.encoding)
    except UnicodeEncodeError:
        raise DataError(
            "D139", f"a name or category cannot be written in {form.encoding}", "declare encoding: utf-8"
        ) from None


def _texts(table: Table, name: str, form: CsvFormat) -> Arrow:
    """A column's fields as texts, quoted where they must be."""
    column, values = table.schema.modelled.get(name), table.values[name]
    if isinstance(ruled := table.schema.columns.get(name), RuledColumn):
        texts, codes = ruled_texts(ruled, values, form.decimal)
        return _taken(texts, codes, form, table.missing[name], (*table.schema.missing_values, "")[0])
    if column is None:
        return _taken(values.tolist(), np.arange(len(values)), form)
    gone, marker = table.missing[name], (*column.markers(table.schema.missing_values), "")[0]
    if isinstance(column, IntegerColumn):
        numbers = pc.cast(pa.array(values), pa.large_string())
        return pc.if_else(pa.array(gone), _scalar(_fields([marker], form)), numbers)
    return _taken(*_by_code(column, values, gone, form), form, gone, marker)


def _by_code(
    column: Modelled, values: NDArray[Any], gone: Mask, form: CsvFormat
) -> tuple[Sequence[str], NDArray[Any]]:
    """The different texts of a column, and which of them each row has (anything where it is gone)."""
    match column:
        case CategoryColumn():
            return column.values, values
        case BooleanColumn():
            return column.texts, values
        case MomentColumn():
            distinct, codes = np.unique(np.where(gone, column.first, values), return_inverse=True)
            return written_texts(column, distinct).tolist(), codes
        case _:
            distinct, codes = np.unique(np.where(gone, 0.0, values), return_inverse=True)
            return [repr(value).replace(".", form.decimal) for value in distinct.tolist()], codes


def _taken(
    texts: Sequence[str], codes: NDArray[Any], form: CsvFormat, gone: Mask | None = None, marker: str = ""
) -> Arrow:
    """The field ``texts[codes[i]]`` for each row, `marker` where it is gone."""
    known = pa.array([_fields([text], form) for text in (*texts, marker)], pa.large_string())
    index = codes.astype(np.int32) if gone is None else np.where(gone, len(texts), codes).astype(np.int32)
    return known.take(pa.array(index))


def _fields(texts: Sequence[str], form: CsvFormat, *, alone: bool = False) -> str:
    """As the csv module writes them in a line; a single field as if it had a neighbour."""
    line = io.StringIO()
    row = list(texts) if alone else [*texts, "x"]
    csv.writer(line, delimiter=form.delimiter, quotechar=form.quote, lineterminator="").writerow(row)
    return line.getvalue() if alone else line.getvalue()[: -1 - len(form.delimiter)]
