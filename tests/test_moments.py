"""Dates, instants, times of day and lengths of time: read, counted, decoded and written in their own form."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth import DataError, Schema, SchemaError
from dpsynth.encoding import Encoding
from dpsynth.table import read_table, write_table

KINDS: dict[str, dict[str, Any]] = {
    "day": {"type": "date", "min": "2015-01-01", "max": "2016-12-31", "format": "%d.%m.%Y"},
    "minute": {
        "type": "datetime",
        "min": "2015-01-01",
        "max": "2016-12-31 23:59",
        "format": "%d/%m/%Y %H:%M",
    },
    "second": {"type": "datetime", "min": "2015-01-01", "max": "2015-01-01 00:10", "cells": 7},
    "fine": {"type": "datetime", "min": "2015-01-01", "max": "2030-01-01", "format": "%Y-%m-%d %H:%M:%S.%f"},
    "zoned": {"type": "datetime", "min": "2015-01-01", "max": "2030-01-01", "timezone": "Europe/Berlin"},
    "time": {"type": "time"},
    "office": {"type": "time", "min": "08:00", "max": "18:00", "edges": ["12:00"], "format": "%H.%M"},
    "stay": {"type": "duration", "max": "100:00:00", "cells": 10},
}


def of(**columns: dict[str, Any]) -> Schema:
    return Schema(columns=columns)  # type: ignore[arg-type]


def texts(kind: str, seed: int, n: int = 20, missing: bool = False) -> list[str]:
    """Random values of a kind as a file writes them."""
    schema = of(x={**KINDS[kind], "missing": missing})
    encoding, rng = Encoding(schema), np.random.default_rng(seed)
    codes = encoding.encode(read_table(pd.DataFrame({"x": [""]}), of(x={**KINDS[kind], "missing": True})))
    records = type(codes)(encoding.domain, (rng.integers(0, encoding.domain["x"], n).astype(np.uint16),))
    frame = encoding.decode(records, rng).to_frame()
    return list(_csv_cells(frame, schema))


def _csv_cells(frame: pd.DataFrame, schema: Schema) -> list[str]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = write_table(frame, Path(folder) / "x.csv", schema)
        return path.read_text().split("\n")[1:-1]


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1), missing=st.booleans())
@settings(max_examples=15, deadline=None)
def test_texts_come_back_as_they_came(kind: str, seed: int, missing: bool) -> None:
    schema = of(x={**KINDS[kind], "missing": missing})
    written = texts(kind, seed, missing=missing)
    table = read_table(pd.DataFrame({"x": [cell.strip('"') for cell in written]}), schema)
    assert _csv_cells(table.to_frame(), schema) == written


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_decoded_rows_encode_to_the_same_cells(kind: str, seed: int) -> None:
    schema = of(x={**KINDS[kind], "missing": True})
    encoding, rng = Encoding(schema), np.random.default_rng(seed)
    start = encoding.encode(read_table(pd.DataFrame({"x": [""] * 30}), schema))
    codes = rng.integers(0, encoding.domain["x"], 30)
    records = type(start)(encoding.domain, (codes.astype(start["x"].dtype),))
    table = encoding.decode(records, rng)
    assert np.array_equal(encoding.encode(table)["x"], codes)
    # and through a typed frame
    again = read_table(table.to_frame(), schema)
    assert np.array_equal(encoding.encode(again)["x"], codes)
    column = schema.modelled["x"]
    present = ~table.missing["x"]
    assert (table.values["x"][present] >= column.starts[0]).all()  # type: ignore[union-attr]
    assert (table.values["x"][present] <= column.last).all()  # type: ignore[union-attr]


def test_every_text_means_its_moment() -> None:
    frame = pd.DataFrame(
        {
            "minute": ["29/2/2016 23:59", "01/01/2015 0:00"],
            "fine": ["2015-01-01 00:00:00.5", "2029-12-31 23:59:59.123999"],
            "zoned": ["2015-06-01T00:00:00+02:00", "2015-01-01T00:30:00Z"],
            "time": ["23:59:59", "0:00:01"],
            "stay": ["99:00:01", "0:00:00"],
        }
    )
    table = read_table(frame, of(**{name: KINDS[name] for name in frame}))
    epoch = dt.datetime(1970, 1, 1)
    minutes = [
        (t - epoch) // dt.timedelta(minutes=1)
        for t in (dt.datetime(2016, 2, 29, 23, 59), dt.datetime(2015, 1, 1))
    ]
    assert table.values["minute"].tolist() == minutes
    half = (dt.datetime(2015, 1, 1) - epoch) // dt.timedelta(milliseconds=1) + 500
    assert table.values["fine"][0] == half
    assert table.values["fine"][1] % 1000 == 123
    utc = [dt.datetime(2015, 5, 31, 22), dt.datetime(2015, 1, 1, 0, 30)]
    assert table.values["zoned"].tolist() == [(t - epoch) // dt.timedelta(seconds=1) for t in utc]
    assert table.values["time"].tolist() == [86399, 1]
    assert table.values["stay"].tolist() == [99 * 3600 + 1, 0]


def test_the_hour_that_summer_time_repeats_is_two_hours() -> None:
    schema = of(zoned=KINDS["zoned"])
    written = ["2020-10-25T02:30:00+0200", "2020-10-25T02:30:00+0100"]
    table = read_table(pd.DataFrame({"zoned": written}), schema)
    first, second = table.values["zoned"].tolist()
    assert second - first == 3600
    assert _csv_cells(table.to_frame(), schema) == written


def test_typed_columns_keep_their_types() -> None:
    arrow = pa.table(
        {
            "second": pa.array([dt.datetime(2015, 1, 1, 0, 1, 2, 999_999)], pa.timestamp("us")),
            "zoned": pa.array([dt.datetime(2020, 7, 1, 12, tzinfo=dt.UTC)], pa.timestamp("ns", "UTC")),
            "time": pa.array([dt.time(12, 30, 15)], pa.time64("us")),
            "stay": pa.array([dt.timedelta(hours=30)], pa.duration("s")),
        }
    )
    table = read_table(arrow, of(**{name: KINDS[name] for name in arrow.column_names}))
    frame = table.to_frame()
    assert frame["second"][0] == pd.Timestamp("2015-01-01 00:01:02")
    assert frame["zoned"][0] == pd.Timestamp("2020-07-01 14:00", tz="Europe/Berlin")
    assert str(frame["zoned"].dtype) == "datetime64[s, Europe/Berlin]"
    assert frame["time"][0] == dt.time(12, 30, 15)
    assert frame["stay"][0] == pd.Timedelta(hours=30)


def test_a_parquet_file_holds_them_typed(tmp_path: Path) -> None:
    schema = of(**{name: {**column, "missing": True} for name, column in KINDS.items()})
    frame = pd.DataFrame({name: [texts(name, 1)[0].strip('"'), ""] for name in KINDS})
    path = write_table(read_table(frame, schema).to_frame(), tmp_path / "x.parquet", schema)
    again = read_table(path, schema)
    assert _csv_cells(again.to_frame(), schema) == _csv_cells(read_table(frame, schema).to_frame(), schema)


@pytest.mark.parametrize(
    ("kind", "value", "code", "words"),
    [
        ("minute", "2015-01-01 00:00", "D117", "not a date and time of the form"),
        ("minute", "30/02/2015 00:00", "D117", "not a date and time"),
        ("minute", "01/02/2015 24:00", "D117", "not a date and time"),
        ("minute", "01/02/2035 10:00", "D114", "outside"),
        ("second", pd.Timestamp("2015-01-01", tz="UTC"), "D117", "times with a time zone"),
        ("zoned", pd.Timestamp("2015-01-01"), "D117", "times without a time zone"),
        ("zoned", "2015-06-01T00:00:00", "D117", "not a date and time"),
        ("time", "25:00:00", "D117", "not a time of day"),
        ("time", 7, "D117", "not a time of day"),
        ("office", "07.59", "D114", "outside"),
        ("stay", "1:60:00", "D117", "not a length of time"),
        ("stay", "200:00:00", "D114", "outside"),
    ],
)
def test_what_does_not_fit_is_told_without_its_value(kind: str, value: Any, code: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_table(pd.DataFrame({"x": [value]}), of(x=KINDS[kind]))
    assert caught.value.code == f"DPS-{code}"
    assert not isinstance(value, str) or value not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ({**KINDS["zoned"], "timezone": "Mars/Olympus"}, "S136"),
        ({**KINDS["zoned"], "timezone": None, "format": "%Y-%m-%d %H:%M%z"}, "S136"),
        ({**KINDS["second"], "min": "2015-01-01T00:00+01:00"}, "S136"),
        ({**KINDS["second"], "format": "%Y-%m-%d"}, "S135"),
        ({**KINDS["second"], "min": "2016-01-01"}, "S120"),
        ({"type": "time", "min": "24:00"}, "S112"),
        ({"type": "time", "format": "%H"}, "S135"),
        ({"type": "duration", "max": "a while"}, "S112"),
        ({"type": "duration", "max": "0:10:00", "cells": 10_000}, "S123"),
    ],
)
def test_contradictions_are_named(column: dict[str, Any], code: str) -> None:
    with pytest.raises(SchemaError) as caught:
        of(x=column)
    assert caught.value.code == f"DPS-{code}"


def test_a_schema_of_moments_survives_its_file(tmp_path: Path) -> None:
    schema = of(**KINDS)
    assert Schema.from_yaml(schema.to_yaml()) == schema
    assert Encoding(schema).labels("office") == ["08:00:00 to 11:59:00", "12:00:00 to 18:00:00"]
    assert Encoding(of(zoned=KINDS["zoned"])).labels("zoned")[0].startswith("2015-01-01 00:00:00+01:00 to")
