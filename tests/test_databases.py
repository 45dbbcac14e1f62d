"""Tables of databases: the values, units and refusals of the same rows in a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpsynth import Schema
from dpsynth.addresses import Address, address_of
from dpsynth.errors import DataError, DPSynthError, UsageError
from dpsynth.project import Project
from dpsynth.table import Table, joined, read_table
from dpsynth.table.scanning import scan
from dpsynth.table.sources import header

SCHEMA = Schema(
    columns={
        "person": {"type": "id"},
        "age": {"type": "integer", "min": 0, "max": 99, "missing": True},
        "town": {"type": "category", "values": ["Zürich", "007", "7", 'it\'s "odd"', "日本"]},
        "paid": {"type": "number", "min": 0, "max": 10, "decimals": 2, "cells": 10},
        "smoker": {"type": "boolean"},
        "born": {"type": "date", "min": "1990-01-01", "max": "2009-12-31", "cells": 20},
        "note": {"type": "drop"},
    },
    unit={"entity": "person", "column": "person", "rows_per_unit": 2},
)
ROWS: list[tuple[Any, ...]] = [
    (7, 31, "Zürich", 0.0, 1, "1990-01-01", b"\x00"),
    ("x7", None, "007", 10.0, 0, "2009-12-31", None),
    (7, 99, 7, 9.99, 1, "2000-02-29", "text"),
    ("it's", 0, 'it\'s "odd"', 1, 0, "1999-12-31", 3),
    ("日本", "45", "日本", 0.1, 1, "2001-01-01", None),
]
ODD = 'odd "name" of; a table'


def sqlite_of(path: Path, rows: Sequence[tuple[Any, ...]], table: str = ODD) -> str:
    name = table.replace('"', '""')
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f'create table "{name}" (person, age, town, paid real, smoker, born, note)')
        connection.executemany(f'insert into "{name}" values (?, ?, ?, ?, ?, ?, ?)', rows)
    return f"sqlite:///{path}#{table}"


def same(one: Table, other: Table) -> None:
    for name, values in other.values.items():
        np.testing.assert_array_equal(one.values[name], values, err_msg=name)
    for name, gone in other.missing.items():
        np.testing.assert_array_equal(one.missing[name], gone, err_msg=name)


def test_sqlite_in_memory_and_streamed(tmp_path: Path) -> None:
    address = sqlite_of(tmp_path / "a b.db", ROWS)
    assert header(address, SCHEMA.csv) == list(SCHEMA.columns)
    table = read_table(address, SCHEMA)
    assert table.values["person"].tolist() == ["7", "x7", "7", "it's", "日本"]
    assert table.values["town"].tolist() == [0, 1, 2, 3, 4]
    assert table.values["age"][~table.missing["age"]].tolist() == [31, 99, 0, 45]
    assert table.values["paid"].tolist() == [0.0, 10.0, 9.99, 1.0, 0.1]
    assert table.units is not None
    assert table.units.tolist() == [0, 1, 0, 2, 3]
    for rows in (1, 2, 100):
        same(joined(list(scan(address, SCHEMA, rows=rows))), table)


@pytest.mark.parametrize("ids", [[7, "007"], ["007", 7], [5.0, "5.0"], [2.0**53, "x"], [7.0, 7, "7", "x7"]])
@pytest.mark.parametrize("rows", [1, 100])
def test_a_person_has_one_name_whatever_its_cells(ids: list[Any], rows: int, tmp_path: Path) -> None:
    """Wherever in the stream: what one batch holds must fit the ones before it."""
    address = sqlite_of(tmp_path / "ids.db", [(one, *ROWS[0][1:]) for one in ids for _ in range(2)])
    if "x7" in ids:
        assert len({label for part in scan(address, SCHEMA, rows=rows) for label in part.unit_labels}) == 2  # type: ignore[union-attr]
        return
    for read in (lambda: read_table(address, SCHEMA), lambda: list(scan(address, SCHEMA, rows=rows))):
        with pytest.raises(DataError, match=r"two ways|too large to be exact") as refused:
            read()
        assert refused.value.code in ("DPS-D192", "DPS-D125")


@pytest.mark.parametrize(
    "ids", [[1e-05, "0.00001", "x"], ["x", 1e-05, 1e-05, "0.00001"], [1e-05, 1e-05, "x", 1e-05]]
)
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_fraction_has_one_name_beside_texts_and_alone(ids: list[Any], rows: int, tmp_path: Path) -> None:
    address = sqlite_of(tmp_path / "ids.db", [(one, *ROWS[0][1:]) for one in ids])
    streamed = scan(address, SCHEMA, rows=rows)
    for parts in ([read_table(address, SCHEMA)], streamed):
        assert {label for part in parts for label in part.unit_labels} == {"0.00001", "x"}  # type: ignore[union-attr]


def test_texts_that_once_were_floats_are_refused(tmp_path: Path) -> None:
    address = sqlite_of(tmp_path / "ids.db", [(one, *ROWS[0][1:]) for one in ("1e-05", "0.00001")])
    for read in (lambda: read_table(address, SCHEMA), lambda: list(scan(address, SCHEMA))):
        with pytest.raises(DataError, match="with an exponent"):
            read()


def test_what_does_not_fit_is_named_by_its_row(tmp_path: Path) -> None:
    bad = list(ROWS)
    bad[3] = ("p", 4711, *ROWS[3][2:])
    address = sqlite_of(tmp_path / "a.db", bad, "t")
    for read in (lambda: read_table(address, SCHEMA), lambda: list(scan(address, SCHEMA, rows=2))):
        with pytest.raises(DataError, match="row 4") as caught:
            read()
        assert "4711" not in str(caught.value)


def test_bad_addresses(tmp_path: Path) -> None:
    address = sqlite_of(tmp_path / "a.db", ROWS, "t")
    (tmp_path / "no.db").write_text("this is no database, however long it may be; " * 50)
    bytes_in = Schema(columns={"note": {"type": "category", "values": ["text", "3"], "missing": True}})
    wrong: list[tuple[str, type[DPSynthError], Schema]] = [
        (address.replace("#t", "#other"), DataError, SCHEMA),
        (address.replace("a.db", "b.db"), DataError, SCHEMA),
        (address.replace("a.db", "no.db"), DataError, SCHEMA),
        (address.removesuffix("#t"), UsageError, SCHEMA),
        ("postgresql://host#t", UsageError, SCHEMA),
        ("postgresql://me:geheim@host/db#t", UsageError, SCHEMA),
        ("postgres://host/db?user=me&password=geheim#t", UsageError, SCHEMA),
        (address, DataError, bytes_in.model_copy(update={"columns": {**SCHEMA.columns, **bytes_in.columns}})),
    ]
    for text, kind, schema in wrong:
        for read in (read_table, lambda s, schema: list(scan(s, schema))):
            with pytest.raises(kind) as caught:
                read(text, schema)
            assert "geheim" not in str(caught.value)
    sqlite_of(tmp_path / "empty.db", [], "t")
    with pytest.raises(DataError, match="no rows"):
        read_table(f"sqlite:///{tmp_path}/empty.db#t", SCHEMA)


def test_a_project_names_a_database_beside_it(tmp_path: Path) -> None:
    sqlite_of(tmp_path / "claims.db", ROWS, "claims")
    data = "data: {path: 'sqlite:///claims.db#claims', unit: {entity: row}}"
    text = f"{data}\ncolumns:\n  age: {{type: integer, min: 0, max: 9}}\n"
    (tmp_path / "project.yaml").write_text(text)
    source = Project.load(tmp_path / "project.yaml").source
    assert header(source, SCHEMA.csv) == list(SCHEMA.columns)
    assert address_of(tmp_path / "claims.db") is None
    assert address_of("postgresql://me@host:5432/db#s.t") == Address(
        "postgresql", "postgresql://me@host:5432/db", "s.t"
    )
