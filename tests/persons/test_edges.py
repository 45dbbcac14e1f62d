"""polars, Arrow and DuckDB at the edge: the same table whatever holds it, and results in the form that was given."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
from test_units import STATIC, people, schema

from dpsynth import Schema, fit
from dpsynth.table import read_table
from dpsynth.table.fingerprint import digest

ZONE = "Europe/Zurich"
COLUMNS: dict[str, Any] = {
    "code": {"type": "category", "values": ["007", "010"], "missing_values": ["N", ""]},
    "n": {"type": "integer", "min": 0, "max": 9, "missing": True},
    "amount": {"type": "number", "min": 0, "max": 9, "cells": 3, "decimals": 2},
    "ok": {"type": "boolean"},
    "day": {"type": "date", "min": "2020-01-01", "max": "2020-12-31"},
    "at": {
        "type": "datetime", "min": "2020-01-01 00:00:00", "max": "2020-12-31 00:00:00", "cells": 4, "timezone": ZONE,
        "format": "%Y-%m-%d %H:%M:%S%z",
    },
    "clock": {"type": "time", "min": "00:00:00", "max": "23:59:59", "cells": 4},
}  # fmt: skip


def forms(frame: pd.DataFrame) -> dict[str, Any]:
    lazy = polars.from_pandas(frame)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    return {
        "polars": lazy, "lazy polars": lazy.lazy(), "arrow": arrow, "batches": arrow.to_reader(),
        "batch": arrow.to_batches()[0],
        "polars categories": lazy.with_columns(polars.col("city").cast(polars.Categorical)),
        "polars enum": lazy.with_columns(polars.col("city").cast(polars.Enum(["A", "B", "C"]))),
        "arrow dictionary": arrow.set_column(6, "city", arrow["city"].dictionary_encode()),
    }  # fmt: skip


def test_every_form_of_a_table_is_the_same_table() -> None:
    frame, declared = people(200), schema(static=STATIC, order="year")
    wanted = digest(read_table(frame, declared))
    for name, form in forms(frame).items():
        assert digest(read_table(form, declared)) == wanted, name


def test_a_duckdb_relation_is_the_same_table() -> None:
    import duckdb

    frame, declared = people(200), schema(static=STATIC, order="year")
    relation = duckdb.connect().from_df(frame)
    assert digest(read_table(relation, declared)) == digest(read_table(frame, declared))
    assert len(fit(relation, declared, method="independent", epsilon=5.0, delta=1e-6).sample(100)) == 100


def test_polars_in_polars_out() -> None:
    """Types and formats come back: leading zeros, decimals, nothing where nothing was, time zones."""
    declared = Schema(columns=COLUMNS)
    rng = np.random.default_rng(1)
    rows = 400
    start = dt.datetime(2020, 1, 1)
    given = polars.DataFrame(
        {
            "code": [["007", "010", None][i] for i in rng.integers(0, 3, rows)],
            "n": [None if i == 9 else int(i) for i in rng.integers(0, 10, rows)],
            "amount": rng.integers(0, 900, rows) / 100,
            "ok": rng.random(rows) < 0.5,
            "day": [dt.date(2020, 1, 1) + dt.timedelta(int(d)) for d in rng.integers(0, 366, rows)],
            "at": [start + dt.timedelta(seconds=int(s)) for s in rng.integers(0, 365 * 86_400, rows)],
            "clock": [dt.time(int(h), 30) for h in rng.integers(0, 24, rows)],
        }
    ).with_columns(polars.col("at").dt.replace_time_zone(ZONE, ambiguous="earliest", non_existent="null").fill_null(
        polars.lit(start).dt.replace_time_zone(ZONE)))  # fmt: skip
    made = fit(given, declared, method="independent", epsilon=50.0, delta=1e-6).sample_table(300).to_polars()
    assert made.columns == given.columns
    same = {"code", "n", "amount", "ok", "clock"}
    assert {name: made.schema[name] for name in same} == {name: given.schema[name] for name in same}
    assert made.schema["at"].time_zone == ZONE
    assert set(made["code"].drop_nulls()) == {"007", "010"}
    assert made["n"].null_count() > 0
    assert ((made["amount"] * 100).round(6) == (made["amount"] * 100).round(0)).all()
    assert digest(read_table(made, declared)) == digest(read_table(made.to_pandas(), declared))


def test_a_suite_takes_polars_frames() -> None:
    import attacks
    from attacks import prepare

    frame, declared = people(120), schema(static=STATIC)
    half = frame["person"] < 60
    tables = [read_table(polars.from_pandas(frame[mask]), declared) for mask in (half, ~half)]
    assert attacks.run_suite
    assert prepare.units_of(tables[0]).max() == 59
