"""Files, folders and frames -> parts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dpsynth.addresses import Address, address_of
from dpsynth.errors import DataError
from dpsynth.schema import CsvFormat
from dpsynth.table import databases
from dpsynth.table.csv_source import read_csv
from dpsynth.table.csv_source import read_header as csv_header
from dpsynth.table.ids import mixed_moments, require_one_name_in
from dpsynth.table.parts import Part, Wanted

Source = Any
"""A path (str or PathLike: csv, csv.gz, parquet, a folder or pattern of parquet files), a sequence of paths,
the address of a table in SQLite or Postgres,
a pandas frame,
a pyarrow Table or RecordBatch, or anything that offers its columns as an Arrow stream (polars, DuckDB)."""

_CSV = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_PARQUET = (".parquet", ".pq")


def parts(source: Source, form: CsvFormat, wanted: Wanted) -> Iterator[Part]:
    """Raises DataError: unreadable (D101, D120, D123, D124), or other columns (D103 to D105)."""
    if isinstance(source, pd.DataFrame):
        yield _from_pandas(source, wanted)
    elif (address := address_of(source)) is not None:
        yield from _from_database(address, wanted)
    elif isinstance(source, str | os.PathLike):
        yield from _from_files(files_of(source), form, wanted)
    elif isinstance(source, Sequence) and source and all(isinstance(s, str | os.PathLike) for s in source):
        yield from _from_files([file for s in source for file in files_of(s)], form, wanted)
    else:
        yield _from_arrow(_arrow_table(source), wanted, "")


def header(source: Source, form: CsvFormat) -> list[str]:
    """Column names only."""
    if isinstance(source, pd.DataFrame):
        return _frame_names(source)
    if (address := address_of(source)) is not None:
        return databases.names_of(address)
    if isinstance(source, str | os.PathLike):
        file = files_of(source)[0]
        return csv_header(file, form) if _is(file, _CSV) else list(_parquet_names(file))
    return list(_arrow_table(source).column_names)


def is_csv(source: Source) -> bool:
    """Whether a source is the path of a csv file, by its name."""
    return isinstance(source, str | os.PathLike) and _is(Path(source), _CSV)


def is_parquet(path: Path) -> bool:
    """Whether a file is parquet, by its name."""
    return _is(path, _PARQUET)


def files_of(source: str | os.PathLike[str]) -> list[Path]:
    """The files of a path, a folder of parquet files or a pattern, sorted. Raises DataError D101."""
    text = os.fspath(source)
    path = Path(text)
    try:
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if _is(file, _PARQUET))
            if not found:
                raise DataError(
                    "D101", f"the folder {path} holds no parquet file", "name a csv file in it, or the files"
                )
            return found
        if any(c in path.name for c in "*?[") and not path.exists():
            found = sorted(path.parent.glob(path.name))
            if not found:
                raise DataError("D101", f"no file matches {path}", "check the path")
            return found
        if not path.exists():
            raise DataError(
                "D101", f"{path} does not exist", "check the path; it is relative to the project file"
            )
    except (OSError, ValueError, NotImplementedError):
        raise DataError("D101", "the path of the data cannot be used", "check it") from None
    return [path]


def _from_database(address: Address, wanted: Wanted) -> Iterator[Part]:
    read, first = wanted.check(databases.names_of(address)), 0
    for batch in databases.batches(address, read, unit=wanted.unit):
        columns = {name: pa.chunked_array([batch.column(i)]) for i, name in enumerate(read)}
        yield Part(columns, batch.num_rows, partial(_row_from, first))
        first += batch.num_rows
    if not first:
        raise DataError("D120", "the table has no rows", "is it the right one?")


def _row_from(first: int, row: int) -> str:
    return f"row {first + row + 1}"


def _from_files(files: list[Path], form: CsvFormat, wanted: Wanted) -> Iterator[Part]:
    for file in files:
        name = f" of {file.name}" if len(files) > 1 else ""
        try:
            yield _from_file(file, form, wanted, name)
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise DataError(
                "D101", f"{file} cannot be read ({reason})", "check the path and its rights"
            ) from None


def _from_file(file: Path, form: CsvFormat, wanted: Wanted, name: str) -> Part:
    if _is(file, _CSV):
        part = read_csv(file, form, wanted)
        return Part(part.columns, part.rows, lambda row: part.place(row) + name, form)
    if _is(file, _PARQUET):
        return _from_arrow(_read_parquet(file, wanted), wanted, name)
    raise DataError(
        "D101", f"{file.name} is neither csv nor parquet by its name", "name it .csv, .csv.gz or .parquet"
    )


def _is(file: Path, suffixes: tuple[str, ...]) -> bool:
    return file.name.lower().endswith(suffixes)


def _parquet_names(file: Path) -> list[str]:
    try:
        return list(pq.read_schema(file).names)
    except (pa.ArrowException, ValueError):
        raise DataError("D124", f"{file.name} is not a readable parquet file", "write it again") from None


def _read_parquet(file: Path, wanted: Wanted) -> Any:
    try:
        return pq.ParquetFile(file).read(columns=wanted.check(_parquet_names(file)))
    except (pa.ArrowException, ValueError):
        raise DataError("D124", f"{file.name} is not a readable parquet file", "write it again") from None


def _arrow_table(source: Source) -> Any:
    if isinstance(source, pa.Table):
        return source
    if hasattr(source, "collect_schema") and hasattr(source, "collect"):
        source = source.collect()  # a lazy frame of polars
    try:
        if isinstance(source, pa.RecordBatch):
            return pa.Table.from_batches([source])
        if hasattr(source, "__arrow_c_stream__"):
            return pa.table(source)
    except (pa.ArrowException, ValueError, TypeError):
        pass
    raise DataError(
        "D101", f"a {type(source).__name__} is not a table", "pass a path, a data frame or an Arrow table"
    )


def _from_arrow(table: Any, wanted: Wanted, name: str) -> Part:
    read = wanted.check(table.column_names)
    if table.num_rows == 0:
        raise DataError("D120", f"the table{name} has no rows", "is it the right one?")
    columns = {column: _plain_texts(table[column]) for column in read}
    return Part(columns, table.num_rows, lambda row: f"row {row + 1}{name}")


def _plain_texts(column: Any) -> Any:
    """Without views of texts inside a dictionary (categories of polars), which Arrow cannot unpack."""
    kind = column.type
    if not (pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type)):
        return column
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(pa.large_string()))
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, pa.dictionary(kind.index_type, pa.large_string()))


def _frame_names(frame: pd.DataFrame) -> list[str]:
    if frame.columns.nlevels > 1:
        raise DataError("D123", "the frame's columns have several levels", "flatten them to plain names")
    return [str(name).strip() for name in frame.columns]


def _from_pandas(frame: pd.DataFrame, wanted: Wanted) -> Part:
    names = _frame_names(frame)
    read = wanted.check(names)
    if len(frame) == 0:
        raise DataError("D120", "the frame has no rows", "is it the right one?")
    if wanted.unit in read:
        require_one_name_in(wanted.unit, frame.iloc[:, names.index(wanted.unit)])
    columns = {name: _series_to_arrow(frame.iloc[:, names.index(name)]) for name in read}
    return Part(columns, len(frame), lambda row: f"row {row + 1}")


def _series_to_arrow(series: Any) -> Any:
    try:
        array = pa.array(series, from_pandas=True)
        if mixed_moments(array, series):
            raise ValueError("days and moments in one column")
    except (pa.ArrowException, ValueError, TypeError, OverflowError, AttributeError):
        # a column of mixed objects: its texts
        gone = series.isna().to_numpy(dtype=bool)
        array = pa.array(
            [None if m else _text(v) for v, m in zip(series, gone, strict=True)], type=pa.large_string()
        )
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _text(value: Any) -> str:
    """A whole number as the integer it is, and midnight as the day: among texts too, 1.0 and 1 are one id and one
    category."""
    if isinstance(value, datetime) and value.tzinfo is None and value.time() == time():
        value = value.date()
    if isinstance(value, np.floating):
        value = float(value) if float(value).is_integer() else Decimal(str(value))
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    if isinstance(value, float) and not value.is_integer():
        value = Decimal(repr(value))  # 0.00001 and 1e-05 are one number
    if isinstance(value, Decimal) and value.is_finite():
        plain = format(value, "f") if value else "0"  # of which decimals have a negative one
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return str(int(value)) if whole else str(value)
