"""Tables of SQLite and Postgres, read in Arrow batches from one query: one state of the table, whoever writes meanwhile."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from dpsynth.addresses import SQLITE, Address
from dpsynth.errors import DataError, UsageError
from dpsynth.table.ids import require_one_name, require_one_name_in

BATCH = 1 << 16
"""Rows that are asked for at once."""
_PLAIN = (
    "smallint", "integer", "bigint", "real", "double precision", "boolean", "text", "character varying", "date",
    "timestamp without time zone", "timestamp with time zone",
)  # fmt: skip
"""Types of Postgres that come as they are; everything else comes as its text."""


def names_of(address: Address) -> list[str]:
    """The table's columns. DataError D131 when there is no such table, D132 when the database cannot be read."""
    return _of(address).names()


def batches(address: Address, columns: Sequence[str], rows: int = BATCH, *, unit: str = "") -> Iterator[Any]:
    """Record batches of these columns, about `rows` rows each. DataError D192 where the ids of units, in the column `unit`,
    have types that write one id in two ways."""
    return _of(address).batches(columns, rows, unit)


def _of(address: Address) -> _Sqlite | _Postgres:
    return _Sqlite(address) if address.kind == SQLITE else _Postgres(address)


@dataclass(frozen=True)
class _Sqlite:
    """Values have the types that were written, cell by cell: a column of a batch with several becomes text."""

    address: Address

    def names(self) -> list[str]:
        with closing(self._open()) as connection:
            try:
                found = connection.execute(f"select * from {_quoted(self.address.table)} limit 0")
            except sqlite3.Error as problem:
                raise self._said(problem) from None
            return [name for name, *_ in found.description]

    def batches(self, columns: Sequence[str], rows: int, unit: str) -> Iterator[Any]:
        query, ids = (
            f"select {', '.join(map(_quoted, columns))} from {_quoted(self.address.table)}",
            _Ids(unit),
        )
        with closing(self._open()) as connection:
            try:
                cursor = connection.execute(query)
                while found := cursor.fetchmany(rows):
                    values = list(zip(*found, strict=True))
                    if unit in columns:
                        ids.take(values[columns.index(unit)])
                    arrays = [_arrow(cells, name) for cells, name in zip(values, columns, strict=True)]
                    yield pa.record_batch(arrays, names=list(columns))
            except sqlite3.Error as problem:
                raise self._said(problem) from None

    def _open(self) -> sqlite3.Connection:
        file = Path(self.address.place)
        if not file.is_file():
            raise DataError("D131", f"there is no file {file}", "check the address of the database")
        try:
            return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        except sqlite3.Error as problem:
            raise self._said(problem) from None

    def _said(self, problem: sqlite3.Error) -> DataError:
        if "no such table" in str(problem):
            return _no_table(self.address)
        return _unreadable(self.address, type(problem).__name__)


class _Ids:
    """The ids of all batches so far, as far as the next ones must fit them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._met: dict[str, Any] = {}

    def take(self, cells: Sequence[Any]) -> None:
        require_one_name_in(self._name, pd.Series([*self._met.values(), *cells], dtype=object))
        for kind in set(map(type, cells)) - {type(None)}:
            mine: list[Any] = [cell for cell in cells if type(cell) is kind]
            self._met.setdefault(kind.__name__, mine[0])
            if kind is float:
                self._met["large"] = max(self._met.get("large", 0.0), *(abs(cell) for cell in mine))
            if kind is str:
                require_one_name(self._name, [pa.array(mine)])
            if kind is str and "odd" not in self._met:
                try:
                    require_one_name(self._name, [pa.array([0]), pa.array(mine)])
                except DataError:
                    self._met["odd"] = "007"  # some text reads like a number, and is not written like one


@dataclass(frozen=True)
class _Postgres:
    """Streamed by the driver's binary copy."""

    address: Address

    def names(self) -> list[str]:
        return [name for name, _ in self._columns()]

    def batches(self, columns: Sequence[str], rows: int, unit: str) -> Iterator[Any]:
        kinds = dict(self._columns())
        chosen = ", ".join(
            _quoted(name) if kinds[name] in _PLAIN else f"{_quoted(name)}::text as {_quoted(name)}"
            for name in columns
        )
        for batch in self._asked(f"select {chosen} from {self._table}"):
            for first in range(0, batch.num_rows, rows):
                yield batch.slice(first, rows)

    @property
    def _table(self) -> str:
        return ".".join(_quoted(part) for part in self.address.table.split("."))

    def _columns(self) -> list[tuple[str, str]]:
        """Names and types, in the table's order."""
        query = (
            "select a.attname::text, case when t.typcategory = 'S' then 'text' else format_type(a.atttypid, null) end "
            "from pg_attribute a join pg_type t on t.oid = a.atttypid "
            f"where a.attrelid = to_regclass({_literal(self._table)}) and a.attnum > 0 and not a.attisdropped "
            "order by a.attnum"
        )
        found = [
            pair
            for batch in self._asked(query)
            for pair in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ]
        if not found:
            raise _no_table(self.address)
        return found

    def _asked(self, query: str) -> Iterator[Any]:
        driver = _driver()
        try:
            with (
                closing(driver.connect(self.address.place)) as connection,
                closing(connection.cursor()) as cursor,
            ):
                cursor.execute(query)
                yield from cursor.fetch_record_batch()
        except (driver.Error, pa.ArrowException, OSError) as problem:
            raise _unreadable(self.address, type(problem).__name__) from None


def _arrow(cells: Sequence[Any], name: str) -> Any:
    """One column of a batch. DataError D133 for bytes."""
    kinds = set(map(type, cells)) - {type(None)}
    if bytes in kinds:
        raise DataError("D133", f"column '{name}' holds bytes", "declare it with type: drop")
    if len(kinds) > 1:
        cells = [None if cell is None else _text(cell) for cell in cells]
        kinds = {str}
    return pa.array(cells, pa.large_string() if kinds <= {str} else None)


def _text(value: Any) -> str:
    """A whole float as the integer it is, and a fraction written out, as in a batch of floats alone: among texts too, 1.0
    and 1 are one id, and so are 1e-05 and 0.00001."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    if isinstance(value, float) and not value.is_integer() and math.isfinite(value):
        return format(Decimal(repr(value)), "f")
    return str(int(value)) if whole else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _no_table(address: Address) -> DataError:
    return DataError("D134", f"the database has no table '{address.table}'", "check the address behind its #")


def _unreadable(address: Address, kind: str) -> DataError:
    """What a database says may quote cells, or what it was told of a user."""
    return DataError(
        "D132",
        f"the {address.kind} database cannot be read ({kind})",
        "can you read the table with the database's own shell, with the same address and user?",
    )


def _driver() -> Any:
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise UsageError(
            "U293", "reading Postgres needs its Arrow driver", "pip install 'dpsynth-audit[databases]'"
        ) from None
    return dbapi
