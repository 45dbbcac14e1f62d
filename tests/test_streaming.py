"""Rows written in batches are the file that one frame of all rows would have been."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dpsynth.encoding import Encoding
from dpsynth.errors import CapacityError, DataError, UsageError
from dpsynth.records import Records
from dpsynth.schema import CsvFormat, Schema
from dpsynth.table import Table, joined, read_table, write_table, write_tables

COLUMNS = {
    "id": {"type": "id", "format": "a,b-####"},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10, "missing": True},
    "whole": {"type": "integer", "min": -5, "max": 5},
    "cost": {"type": "number", "min": 0, "max": 1000, "cells": 8, "decimals": 2, "missing": True},
    "tiny": {"type": "number", "min": 0, "max": 0.001, "decimals": 6},
    "plan": {"type": "category", "values": ["A", 'B "x"', "C,D;E", "ü"], "missing_values": ["N/A, none"]},
    "code": {"type": "category", "values": [1, 2, 10], "missing": True},
    "smoker": {"type": "boolean", "true_value": "yes", "false_value": "no", "missing": True},
    "plain": {"type": "boolean", "missing": True},
    "sure": {"type": "boolean"},
    "day": {"type": "date", "min": "2020-01-01", "max": "2020-12-31", "format": "%d.%m.%Y", "missing": True},
    "time": {"type": "time", "min": "08:00", "max": "18:00", "missing": True},
    "at": {
        "type": "datetime",
        "min": "2020-01-01 00:00",
        "max": "2021-01-01 00:00",
        "timezone": "Europe/Berlin",
    },
}
FORMS = [
    CsvFormat(),
    CsvFormat(delimiter=";", decimal=",", encoding="latin-1"),
    CsvFormat(delimiter=",", decimal=",", quote="'"),
]


def schema(form: CsvFormat = FORMS[0]) -> Schema:
    return Schema(columns=COLUMNS, csv=form, missing_values=["", "?"])


def batches(of: Schema, sizes: list[int]) -> list[Table]:
    encoding, rng, first, found = Encoding(of), np.random.default_rng(1), 1, []
    for size in sizes:
        drawn = {a: rng.integers(0, encoding.domain[a], size) for a in encoding.domain.attributes}
        found.append(encoding.decode(Records.of(encoding.domain, drawn), rng, first))
        first += size
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [[300], [100, 0, 250, 1], [0]])
def test_csv_is_that_of_the_whole_frame(form: CsvFormat, sizes: list[int], tmp_path: Path) -> None:
    parts, of = batches(schema(form), sizes), schema(form)
    expected = write_table(joined(parts).to_frame(), tmp_path / "frame.csv", of).read_bytes()
    heard: list[int] = []
    assert write_tables(iter(parts), tmp_path / "rows.csv", of, heard.append) == sum(sizes)
    assert heard == list(np.cumsum(sizes))
    assert (tmp_path / "rows.csv").read_bytes() == expected
    write_tables(parts, tmp_path / "rows.csv.gz", of)
    assert gzip.decompress((tmp_path / "rows.csv.gz").read_bytes()) == expected


@pytest.mark.parametrize("sizes", [[300], [100, 0, 250, 1], [0]])
def test_parquet_is_that_of_the_whole_frame(sizes: list[int], tmp_path: Path) -> None:
    parts = batches(schema(), sizes)
    write_table(joined(parts).to_frame(), tmp_path / "frame.parquet", schema())
    write_tables(parts, tmp_path / "rows.parquet", schema())
    one, two = (pq.read_table(tmp_path / name) for name in ("frame.parquet", "rows.parquet"))
    assert one.schema.names == two.schema.names
    assert one.to_pylist() == two.to_pylist()
    if sum(sizes):
        assert one.schema.types == two.schema.types
        frames = [read_table(tmp_path / f"{n}.parquet", schema()).to_frame() for n in ("frame", "rows")]
        pd.testing.assert_frame_equal(*frames)


def test_a_single_column_with_missing_values_has_no_empty_lines(tmp_path: Path) -> None:
    one = Schema(columns={"a": {"type": "category", "values": ["x"], "missing": True}})
    (table,) = batches(one, [20])
    expected = write_table(table.to_frame(), tmp_path / "frame.csv", one).read_bytes()
    write_tables([table], tmp_path / "rows.csv", one)
    assert (tmp_path / "rows.csv").read_bytes() == expected


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_what_fails_leaves_the_old_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("old")

    def failing(error: Exception):
        yield batches(schema(), [5])[0]
        raise error

    with pytest.raises(CapacityError, match="cannot be written"):
        write_tables(failing(OSError(28, "no space")), tmp_path / name, schema())
    with pytest.raises(KeyboardInterrupt):
        write_tables(failing(KeyboardInterrupt()), tmp_path / name, schema())
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


def test_the_folder_and_the_suffix_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_tables(batches(schema(), [1]), tmp_path / "none" / "rows.csv", schema())
    with pytest.raises(DataError, match="format"):
        write_tables(batches(schema(), [1]), tmp_path / "rows.xlsx", schema())
    narrow = Schema(columns={"a": {"type": "category", "values": ["€"]}}, csv=CsvFormat(encoding="latin-1"))
    with pytest.raises(DataError, match="latin-1"):
        write_tables(batches(narrow, [3]), tmp_path / "rows.csv", narrow)
    assert os.listdir(tmp_path) == []
