"""Parquet files of one table, each with types of its own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from dpsynth.schema import Schema

COLUMNS: dict[str, Any] = {
    "person": {"type": "id"},
    "visits": {"type": "integer", "min": 0, "max": 2**31, "cells": 40, "clip": True, "missing": True},
    "dose": {"type": "number", "min": -1, "max": 2**25, "cells": 50, "clip": True, "missing": True},
    "ward": {"type": "category", "values": ["1", "2", "0.5", "elsewhere"], "other": "elsewhere", "missing": True},
    "born": {"type": "date", "min": "1960-01-01", "max": "2029-12-31", "cells": 24, "missing": True},
    "local": {"type": "datetime", "min": "1960-01-01T00:00", "max": "2029-12-31T23:59", "cells": 12, "missing": True},
    "seen": {"type": "datetime", "min": "1960-01-01T00:00", "max": "2029-12-31T23:59", "cells": 12,
             "timezone": "Europe/Paris", "missing": True},
    "week": {"type": "category", "values": ["1969-12-31", "2024-02-29", "elsewhere"], "other": "elsewhere",
             "missing": True},
    "utc": {"type": "category", "values": ["1969-12-31", "2024-02-29", "2024-03-01", "elsewhere"], "other": "elsewhere",
            "missing": True},
}  # fmt: skip
WIDTHS = [pa.int16(), pa.int32(), pa.int64()]
NUMBERS = [pa.int8(), pa.uint8(), *WIDTHS, pa.uint32(), pa.float32(), pa.float64(), pa.null()]
DAYS = [pa.date32(), pa.timestamp("ms"), pa.timestamp("us"), pa.null()]
ZONES = [pa.timestamp("us", "UTC"), pa.timestamp("ms", "Asia/Tokyo"), pa.timestamp("us", "America/New_York")]
KINDS = {
    "person": WIDTHS, "visits": NUMBERS, "dose": NUMBERS, "ward": NUMBERS, "born": DAYS, "local": DAYS, "seen": ZONES,
    "week": DAYS, "utc": ZONES,
}  # fmt: skip
WHOLE = st.sampled_from([0, 1, 2, 5, 100, 2**24 + 1, 2**31 - 1])
DATES = st.sampled_from([dt.datetime(1969, 12, 31), dt.datetime(2024, 2, 29), dt.datetime(2000, 1, 1)])
HOURS = st.sampled_from([0, 1, 15, 22]).map(lambda hours: dt.timedelta(hours=hours))


def cells(name: str, kind: Any) -> st.SearchStrategy[Any]:
    """What such a column may hold."""
    if name == "person":
        return st.integers(0, 5)
    return st.none() if pa.types.is_null(kind) else st.none() | _known(name, kind)


def _known(name: str, kind: Any) -> st.SearchStrategy[Any]:
    if pa.types.is_date(kind):
        return DATES.map(dt.datetime.date)
    if pa.types.is_timestamp(kind):
        hours = st.just(dt.timedelta()) if name == "born" else HOURS
        moments = st.tuples(DATES, hours).map(lambda pair: pair[0] + pair[1])
        return moments.map(lambda m: m.replace(tzinfo=dt.UTC)) if kind.tz else moments
    if pa.types.is_floating(kind):
        wide = st.floats(-1, 2**25, width=kind.bit_width)
        return WHOLE.map(float) | (st.integers(0, 2**24).map(float) if name == "visits" else wide)
    most = 2 ** (kind.bit_width - (0 if pa.types.is_unsigned_integer(kind) else 1)) - 1
    return WHOLE.map(lambda n: min(n, most))


@st.composite
def file(draw: st.DrawFn, most: int = 12) -> Any:
    rows = draw(st.integers(1, most))
    columns = {}
    for name, kinds in KINDS.items():
        kind = draw(st.sampled_from(kinds))
        columns[name] = pa.array(draw(st.lists(cells(name, kind), min_size=rows, max_size=rows)), kind)
    order = draw(st.permutations(list(columns)))
    return pa.table({name: columns[name] for name in order})


files = st.lists(file(), min_size=2, max_size=4)


def schema_of(bound: int | None) -> Schema:
    unit = {"entity": "person", "column": "person", "rows_per_unit": bound}
    return Schema(columns=COLUMNS, unit={"entity": "row"} if bound is None else unit)  # type: ignore[arg-type]


def written(parts: list[Any], folder: Path) -> Path:
    for number, part in enumerate(parts):
        pq.write_table(part, folder / f"{number}.parquet")
    return folder
