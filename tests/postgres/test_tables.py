"""Tables of a Postgres server: every kind of column, in memory and streamed, and what cannot be read."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from dpsynth import Schema
from dpsynth.errors import DataError
from dpsynth.table import joined, read_table
from dpsynth.table.scanning import scan

COLUMNS: dict[str, Any] = {
    "person": {"type": "id"},
    "age": {"type": "integer", "min": 0, "max": 99, "missing": True},
    "town": {"type": "category", "values": ["Zürich", "日本"]},
    "paid": {"type": "number", "min": 0, "max": 10, "decimals": 2, "cells": 10},
    "smoker": {"type": "boolean"},
    "born": {"type": "date", "min": "1990-01-01", "max": "2009-12-31", "cells": 20},
}
UNIT = {"entity": "person", "column": "person", "rows_per_unit": 2}


@pytest.fixture
def address(server: str) -> str:
    from adbc_driver_postgresql import dbapi

    sql = [
        'drop schema if exists "my schema" cascade',
        'create schema "my schema"',
        "create type \"my schema\".plan as enum ('A', 'B')",
        'create table "my schema"."Claims" (person text, age smallint, town varchar(9), paid numeric(9, 2), '
        'smoker boolean, born date, seen timestamptz, plan "my schema".plan, code char(3), id uuid)',
        "insert into \"my schema\".\"Claims\" values ('p1', null, '日本', 9.99, true, '1990-01-01', "
        "'2020-06-01 23:30:00+00', 'B', '7', '00000000-0000-0000-0000-000000000001'), "
        "('p2', 31, 'Zürich', 10, false, '2009-12-31', '2020-01-01 00:00:00+01', 'A', 'abc', "
        "'00000000-0000-0000-0000-000000000002')",
    ]
    with closing(dbapi.connect(server)) as connection, closing(connection.cursor()) as cursor:
        for command in sql:
            cursor.execute(command)
        connection.commit()
    return f"{server}#my%20schema.Claims"


def test_all_kinds_of_columns(address: str) -> None:
    schema = Schema(
        columns={
            **COLUMNS,
            "seen": {"type": "datetime", "min": "2020-01-01T00:00", "max": "2020-12-31T23:59", "cells": 12,
                     "timezone": "Europe/Paris"},
            "plan": {"type": "category", "values": ["A", "B"]},
            "code": {"type": "category", "values": ["7", "abc"]},
            "id": {"type": "id"},
        },
        unit=UNIT,
    )  # fmt: skip
    table = read_table(address, schema)
    frame = table.to_frame()
    assert frame["town"].tolist() == ["日本", "Zürich"]
    assert frame["paid"].tolist() == [9.99, 10.0]
    assert frame["plan"].tolist() == ["B", "A"]
    assert frame["code"].tolist() == ["7", "abc"]
    assert frame["smoker"].tolist() == [True, False]
    assert table.missing["age"].tolist() == [True, False]
    assert [str(moment) for moment in frame["seen"]] == [
        "2020-06-02 01:30:00+02:00",
        "2020-01-01 00:00:00+01:00",
    ]
    for name, values in joined(list(scan(address, schema, rows=1))).values.items():
        np.testing.assert_array_equal(table.values[name], values, err_msg=name)


def test_what_cannot_be_read(address: str, server: str) -> None:
    for wrong in (address + "x", f"{server}x#t"):
        with pytest.raises(DataError):
            read_table(wrong, Schema(columns=COLUMNS, unit=UNIT))
