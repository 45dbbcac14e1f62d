"""Tables larger than memory: DuckDB streams them, and every batch is checked as a whole table would be."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpsynth.addresses import address_of
from dpsynth.errors import CapacityError, DataError, UsageError
from dpsynth.schema import CsvFormat, Schema
from dpsynth.table import databases
from dpsynth.table.core import Table
from dpsynth.table.ids import kind_of_ids
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
    wanted = Wanted.of(schema, require_unit=True)
    stream = _stream(source, schema.csv, rows)
    kept = wanted.check(stream.names)
    _require_one_kind(source, kept, schema)
    first = 0
    for batch in stream.read(kept):
        columns = {name: pa.chunked_array([batch.column(i)]) for i, name in enumerate(kept)}
        yield table_of(Part(columns, batch.num_rows, _place(first), stream.form), schema)
        first += batch.num_rows
    if not first:
        raise DataError("D130", "the table has no rows", "is it the right one?")


@dataclass(frozen=True)
class _Stream:
    """A source before it is read: its columns, batches of some of them, and how its texts write numbers if it is csv."""

    names: list[str]
    read: Callable[[Sequence[str]], Iterator[Any]]
    form: CsvFormat | None = None


def _stream(source: Any, form: CsvFormat, rows: int) -> _Stream:
    address = address_of(source)
    if address is not None:
        return _Stream(databases.names_of(address), lambda kept: databases.batches(address, kept, rows))
    relation, written = _relation(source, form)
    names = [str(name).strip() for name in relation.columns]

    def read(kept: Sequence[str]) -> Iterator[Any]:
        return _batches(relation, [relation.columns[names.index(name)] for name in kept], rows)

    return _Stream(names, read, written)


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


def _relation(source: Any, form: CsvFormat) -> tuple[Any, CsvFormat | None]:
    """A lazy relation over the source, and how its texts write numbers if it is csv."""
    duckdb = _duckdb()
    if isinstance(source, duckdb.DuckDBPyRelation):
        return source, None
    paths = _paths(source)
    parquet = all(is_parquet(path) for path in paths)
    config = {"memory_limit": MEMORY, "temp_directory": "", "preserve_insertion_order": True}
    # decoding parquet takes a tenth of what follows: one thread is enough, and holds half as much
    connection = duckdb.connect(config={**config, "threads": 1} if parquet else config)
    try:
        if parquet:
            return connection.read_parquet([str(path) for path in paths], union_by_name=True), None
        if all(is_csv(path) for path in paths):
            return _csv(connection, paths, form), form
    except duckdb.Error as problem:
        raise _no_table(_kind(problem)) from None
    raise UsageError(
        "U212",
        "this source cannot be streamed",
        "give csv files, parquet files or a DuckDB relation, or read it into memory",
    )


def _no_table(why: str) -> DataError:
    return DataError(
        "D129", f"the files cannot be read as one table ({why})", "do all have the same columns and types?"
    )


def _require_one_kind(source: Any, columns: Sequence[str], schema: Schema) -> None:
    """DuckDB turns a column that files have in several types into one of them: ids 5 and 5.0 would be texts of two names.

    DataError D129 for parquet files of which one lacks a column, or has it in another type; whole numbers beside floats of
    64 bits are the same in all but ids.
    """
    if not isinstance(source, str | os.PathLike | Sequence) or address_of(source) is not None:
        return
    paths = _paths(source)
    if len(paths) < 2 or not all(is_parquet(path) for path in paths):
        return
    seen: dict[str, set[str]] = {name: set() for name in columns}
    for path in paths:
        here = {str(field.name).strip(): field.type for field in pq.read_schema(path)}
        for name in columns:
            if name not in here:
                raise _no_table(f"column '{name}' is not in all of them")
            seen[name].add(_kind_of(here[name]) if name in schema.modelled else kind_of_ids(here[name]))
    for name, kinds in seen.items():
        exact = {"integer", "double"} if name in schema.modelled else set()
        if len(kinds - {"null"}) > 1 and kinds - {"null"} != exact:
            raise _no_table(f"column '{name}' has several types")


def _kind_of(kind: Any) -> str:
    """The same for types of one column that DuckDB turns into each other without changing a value."""
    return f"moment {kind.tz}" if pa.types.is_timestamp(kind) else kind_of_ids(kind)


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
