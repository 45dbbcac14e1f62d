"""Tables larger than memory: DuckDB streams them, and every batch is checked as a whole table would be."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpsynth.addresses import address_of
from dpsynth.errors import CapacityError, DataError, UsageError
from dpsynth.schema import CsvFormat, Schema
from dpsynth.table import databases
from dpsynth.table.alike import WAY_OUT, differing, kinds_in, runs
from dpsynth.table.core import Table
from dpsynth.table.csv_source import read_header
from dpsynth.table.ids import Spellings
from dpsynth.table.parts import Part, Wanted
from dpsynth.table.reading import table_of
from dpsynth.table.sources import files_of, is_csv, is_parquet

BATCH = 1 << 16
"""Rows that are read, checked and encoded at once."""
MEMORY = "256MB"
"""Limit for DuckDB's own memory. Reading needs no more, so it has nowhere to spill: rows would lie there in the open."""
_NO_TEXT = "\x01no value\x02"
"""Stands for nothing in a csv file: no cell holds it, so that an empty cell stays an empty text."""
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-16": "utf-16",
    "latin-1": "latin-1",
    "latin1": "latin-1",
}


def scan(source: Any, schema: Schema, *, rows: int = BATCH) -> Iterator[Table]:
    """The table in batches of up to `rows` rows, in the source's order, one at least.

    `source`: a path or pattern of csv or parquet files, several paths, the address of a table in SQLite or Postgres, or a
    DuckDB relation. Each batch is what `read_table` would make of its rows; row
    numbers in errors count from the beginning.

    Raises DataError as `read_table` does; UsageError U211 without DuckDB, U212 for another kind of source, CapacityError
    C171 when DuckDB runs out of disk or memory.
    """
    wanted, first = Wanted.of(schema, require_unit=True), 0
    spellings = Spellings(str(schema.unit.column), schema.missing_values)
    for stream in _streams(source, schema, wanted, rows):
        kept = wanted.check(stream.names)
        for batch in stream.read(kept):
            columns = {name: pa.chunked_array([batch.column(i)]) for i, name in enumerate(kept)}
            yield table_of(Part(columns, batch.num_rows, _place(first), stream.form), schema, spellings)
            first += batch.num_rows
    if not first:
        raise DataError("D130", "the table has no rows", "is it the right one?")


@dataclass(frozen=True)
class _Stream:
    """A part of a source before it is read: its columns, batches of some of them, and how its texts write numbers if it is
    csv."""

    names: list[str]
    read: Callable[[Sequence[str]], Iterator[Any]]
    form: CsvFormat | None = None


def _streams(source: Any, schema: Schema, wanted: Wanted, rows: int) -> Iterator[_Stream]:
    """Files whose columns or types differ are read one after the other: DuckDB would read csv files by place, and turn the
    types of parquet files into one."""
    address = address_of(source)
    if address is not None:
        yield _Stream(
            databases.names_of(address), lambda kept: databases.batches(address, kept, rows, unit=wanted.unit)
        )
        return
    duckdb = _duckdb()
    if isinstance(source, duckdb.DuckDBPyRelation):
        yield _stream(source, None, rows)
        return
    paths = _paths(source)
    if all(is_parquet(path) for path in paths):
        for some in _alike(paths, wanted, schema):
            yield _stream(_relation(some, None), None, rows)
    elif all(is_csv(path) for path in paths):
        for path in paths:
            wanted.check(read_header(path, schema.csv))
        for path in paths:
            yield _stream(_relation([path], schema.csv), schema.csv, rows)
    else:
        raise UsageError(
            "U212",
            "this source cannot be streamed",
            "give csv files, parquet files or a DuckDB relation, or read it into memory",
        )


def _stream(relation: Any, form: CsvFormat | None, rows: int) -> _Stream:
    names = [str(name).strip() for name in relation.columns]

    def read(kept: Sequence[str]) -> Iterator[Any]:
        return _batches(relation, [relation.columns[names.index(name)] for name in kept], rows)

    return _Stream(names, read, form)


def _place(first: int) -> Any:
    return lambda row: f"row {first + row + 1}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _batches(relation: Any, columns: Sequence[str], rows: int) -> Iterator[Any]:
    import duckdb

    try:
        chosen = relation.project(", ".join(map(_quoted, columns)))
        yield from (batch for batch in chosen.to_arrow_reader(rows) if batch.num_rows)
    except (duckdb.Error, pa.ArrowException, OSError) as problem:
        if any(sign in str(problem) for sign in _NO_ROOM):
            raise CapacityError(
                "C171",
                f"DuckDB needs more than the {MEMORY} it may use to read this source",
                "write it with smaller row groups, or pass a relation of a connection of yours; nothing was spent",
            ) from None
        raise DataError(
            "D128",
            f"the table cannot be read to its end ({_kind(problem)})",
            "are all files whole, and do they have the same columns?",
        ) from None


_NO_ROOM = ("Out of Memory", "No space left", "failed to offload")


def _relation(paths: Sequence[Path], form: CsvFormat | None) -> Any:
    """A lazy relation over parquet files of the same types, or over a csv file, whose `form` is given."""
    config = {"memory_limit": MEMORY, "temp_directory": "", "preserve_insertion_order": True}
    duckdb = _duckdb()
    # decoding parquet takes a tenth of what follows: one thread is enough, and holds half as much
    connection = duckdb.connect(config={**config, "threads": 1} if form is None else config)
    try:
        if form is None:
            return connection.read_parquet([str(path) for path in paths], union_by_name=True)
        return _csv(connection, paths, form)
    except duckdb.Error as problem:
        raise _no_table(_kind(problem), WAY_OUT if form is None else _LINE) from None


_LINE = "check quotes and the delimiter; dpsynth check with engine: memory names the line"


def _no_table(why: str, fix: str = WAY_OUT) -> DataError:
    return DataError("D129", f"the files cannot be read as one table ({why})", fix)


def _alike(paths: Sequence[Path], wanted: Wanted, schema: Schema) -> list[list[Path]]:
    """Parquet files one after another that have the same types. DataError D129 where they are not of one table."""
    try:
        files = [kinds_in(path) for path in paths]
    except (pa.ArrowException, ValueError, OSError) as problem:
        raise _no_table(_kind(problem)) from None
    why = differing(files, paths, wanted.check(list(files[0])), schema.modelled)
    if why is not None:
        raise _no_table(why)
    for kinds in files[1:]:
        wanted.check(list(kinds))
    return [list(paths[some]) for some in runs(files)]


def _csv(connection: Any, paths: Sequence[Path], form: CsvFormat) -> Any:
    encoding = _ENCODINGS.get(form.encoding.lower())
    if encoding is None:
        raise UsageError(
            "U212",
            f"csv files in {form.encoding} cannot be streamed",
            "convert them to utf-8 or parquet, or read them into memory",
        )
    return connection.read_csv(
        [str(path) for path in paths],
        header=True,
        all_varchar=True,
        delimiter=form.delimiter,
        quotechar=form.quote,
        escapechar=form.quote,
        encoding=encoding,
        na_values=_NO_TEXT,
        strict_mode=True,
        null_padding=False,
    )


def _paths(source: Any) -> list[Path]:
    listed = [source] if isinstance(source, str | os.PathLike) else source
    if (
        not isinstance(listed, Sequence)
        or not listed
        or not all(isinstance(p, str | os.PathLike) for p in listed)
    ):
        raise UsageError(
            "U212",
            f"a {type(source).__name__} cannot be streamed",
            "give csv files, parquet files or a DuckDB relation, or read it into memory",
        )
    return list(itertools.chain.from_iterable(files_of(path) for path in listed))


def _kind(problem: Exception) -> str:
    """What went wrong, in a word: DuckDB's own sentences may quote cells."""
    return type(problem).__name__.removesuffix("Exception").lower() or "error"


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise UsageError(
            "U211", "streaming a large table needs DuckDB", "pip install 'dpsynth-audit[duckdb]'"
        ) from None
    return duckdb
