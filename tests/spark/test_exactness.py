"""Made-up tables in memory, streamed by DuckDB and on a real Spark session: the same units, bounds, hold-out, encodings,
discoveries and counts, to the last integer."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import parquet_types
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clustered import on_cluster, rows_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_large_exact import both, learnt, row, schema_of, written

from dpsynth.discovery import public_scale
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError
from dpsynth.privacy.intake import take_in
from dpsynth.privacy.spark_intake import SparkIntake
from dpsynth.schema import Schema
from dpsynth.spark_source import find
from dpsynth.table import Table, read_table
from dpsynth.table.scanning import scan

EDGES = [k / 8 for k in range(9)]
TYPED: dict[str, Any] = {
    "person": {"type": "id"},
    "town": {"type": "category", "values": ["Zürich", "", "007", "日本", "\U0001f600", "é", "elsewhere"],
             "other": "elsewhere", "missing": True},
    "dose": {"type": "number", "min": 0, "max": 1, "cells": 8, "missing": True},
    "visits": {"type": "integer", "min": -5, "max": 44, "cells": 10, "special": [99], "missing": True},
    "born": {"type": "date", "min": "1500-01-01", "max": "2099-12-31", "cells": 24, "missing": True},
    "seen": {"type": "datetime", "min": "2020-01-01T00:00", "max": "2020-12-31T23:59", "cells": 12,
             "timezone": "Europe/Paris"},
    "local": {"type": "datetime", "min": "2020-01-01T00:00", "max": "2020-12-31T23:59", "cells": 12},
    "smokes": {"type": "boolean", "missing": True},
}  # fmt: skip
ROW = st.fixed_dictionaries({
    "person": st.sampled_from(["Ana", "ana", "Añа", "e\u0301", "é", "7", "07", "\U0001f600", "P1", "P2", "P3", "P4"]),
    "town": st.none() | st.sampled_from(["Zürich", "", "007", "日本", "\U0001f600", "é", "e\u0301", "Nowhere", " 007"]),
    "dose": st.none() | st.sampled_from(EDGES) | st.floats(0, 1)
    | st.sampled_from(EDGES[1:]).map(lambda x: float(np.nextafter(x, 0)))
    | st.sampled_from(EDGES[:-1]).map(lambda x: float(np.nextafter(x, 1))),
    "visits": st.none() | st.sampled_from([-5, -1, 0, 4, 5, 44, 99]) | st.integers(-5, 44),
    "born": st.none() | st.sampled_from([dt.date(1500, 1, 1), dt.date(1582, 10, 4), dt.date(1582, 10, 15),
                                         dt.date(1700, 2, 28), dt.date(1969, 12, 31), dt.date(2024, 2, 29),
                                         dt.date(2099, 12, 31)])
    | st.dates(dt.date(1500, 1, 1), dt.date(2099, 12, 31)),
    # summer time begins and ends in Paris and in New York, and the year elsewhere
    "seen": st.sampled_from(["2019-12-31T23:00", "2020-03-08T07:00", "2020-03-29T01:00", "2020-10-25T00:59",
                             "2020-10-25T01:00", "2020-11-01T06:00", "2020-12-31T22:59"])
    .map(lambda t: dt.datetime.fromisoformat(t).replace(tzinfo=dt.UTC)),
    "local": st.sampled_from(["2020-01-01T00:00", "2020-03-08T02:30", "2020-03-29T02:30", "2020-10-25T02:30",
                              "2020-11-01T01:30", "2020-12-31T23:59"]).map(dt.datetime.fromisoformat),
    "smokes": st.none() | st.booleans(),
})  # fmt: skip
KINDS = pa.schema([
    ("person", pa.string()), ("town", pa.string()), ("dose", pa.float64()), ("visits", pa.int64()), ("born", pa.date32()),
    ("seen", pa.timestamp("us", "UTC")), ("local", pa.timestamp("us")), ("smokes", pa.bool_()),
])  # fmt: skip
MANY = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[*HealthCheck],
)


@pytest.fixture(params=["UTC", "America/New_York"])
def zone(request: pytest.FixtureRequest, spark: Any) -> Iterator[str]:
    """The session's own time zone, which must not matter."""
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", request.param)
    yield str(request.param)
    spark.conf.set("spark.sql.session.timeZone", before)


def there(source: Any, schema: Schema, spark: Any, holdout: float = 0.3) -> SparkIntake:
    return on_cluster(source, schema, spark, holdout=holdout)


def same(memory: Any, table: Table, *others: Any) -> None:
    """The same integers for every pair of columns, the same sizes of persons, the same encoded rows on the same sides."""
    names = memory.engine.domain.attributes
    cliques = [(), *itertools.combinations(names, 1), *itertools.combinations(names, 2)]
    expected = memory.engine.marginals(cliques)
    for other in others:
        assert other.engine.domain == memory.engine.domain
        found = other.engine.marginals(cliques)
        for clique in cliques:
            np.testing.assert_array_equal(found[clique], expected[clique], err_msg=str(clique))
        np.testing.assert_array_equal(other.engine.unit_sizes(), memory.engine.unit_sizes())
        for kept, chosen in ((other.training, memory.training), (other.holdout, memory.holdout)):
            assert rows_of(kept) == rows_of(table.take(chosen))


@pytest.mark.parametrize("bound", [None, 2])
def test_typed_columns(bound: int | None, zone: str, spark: Any, tmp_path_factory: Any) -> None:
    unit = {"entity": "person", "column": "person", "rows_per_unit": bound}
    schema = Schema(columns=TYPED, unit={"entity": "row"} if bound is None else unit, missing_values=["?"])  # type: ignore[arg-type]

    @MANY
    @given(st.lists(ROW, min_size=150, max_size=250))
    def check(rows: list[dict[str, Any]]) -> None:
        folder = tmp_path_factory.mktemp("typed")
        table = pa.Table.from_pylist(rows, KINDS)
        cut = (
            len(rows) if bound is None else len(rows) // 3
        )  # a row's coin is that of its place in its partition
        pq.write_table(table.slice(0, cut), folder / "a.parquet")
        if bound is not None:
            pq.write_table(table.slice(cut), folder / "b.parquet")
        read, memory, disk = both(folder, schema, 64)
        same(memory, read, disk, there(folder, schema, spark))

    check()


@pytest.mark.parametrize("bound", [None, 1, 3])
def test_texts_and_what_is_to_be_discovered(bound: int | None, spark: Any, tmp_path_factory: Any) -> None:
    schema = schema_of(bound)

    @MANY
    @given(st.lists(row, min_size=100, max_size=200))
    def check(rows: list[dict[str, str]]) -> None:
        path = written(rows, tmp_path_factory.mktemp("texts"))
        table, memory, disk = both(path, schema, 64)
        cluster = there(path, schema, spark)
        for other in (disk, cluster):
            assert other.engine.units_with("plan") == memory.engine.units_with("plan")
            for name in ("size", "cost"):
                edges = public_scale(schema.columns[name])  # type: ignore[arg-type]
                found, expected = (
                    engine.units_between(name, edges) for engine in (other.engine, memory.engine)
                )
                np.testing.assert_array_equal(found, expected)
        known = learnt(schema)
        later = memory.recoded(Encoding(known).encode(table.under(known)))
        same(later, table.under(known), disk.recoded(known), cluster.recoded(known))

    check()


@pytest.mark.parametrize("bound", [None, 2])
def test_files_are_read_by_their_own_types(
    bound: int | None, zone: str, spark: Any, tmp_path_factory: Any
) -> None:
    schema = parquet_types.schema_of(bound)
    some = st.lists(parquet_types.file(60), min_size=3, max_size=3)

    @settings(MANY, phases=[Phase.generate])  # finding the smallest example would take minutes
    @given(some)
    def check(files: list[Any]) -> None:
        folder = parquet_types.written(files, tmp_path_factory.mktemp("types"))
        read, memory, disk = both(folder, schema, 64)
        if bound is not None:
            same(memory, read, disk, there(folder, schema, spark))
            return
        # a row's coin is that of its place in its partition: nobody is held out
        cliques = list(itertools.combinations(schema.domain.attributes, 2))
        found = there(folder, schema, spark, holdout=0.0)
        every = take_in(Encoding(schema).encode(read), None, rows_per_unit=1, holdout=0.0)
        expected = every.engine.marginals(cliques)
        for clique, counts in found.engine.marginals(cliques).items():
            np.testing.assert_array_equal(counts, expected[clique], err_msg=str(clique))

    check()


class TestAPersonHasOneName:
    """However a source has his id."""

    DAY = dt.datetime(2024, 1, 5)
    SCHEMA = Schema(
        columns={"who": {"type": "id"}, "ok": {"type": "boolean"}},  # type: ignore[arg-type]
        unit={"entity": "person", "column": "who", "rows_per_unit": 1},  # type: ignore[arg-type]
    )

    @pytest.mark.parametrize("two", [pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.string()])
    def test_files_of_several_types(self, two: Any, spark: Any, tmp_path: Path) -> None:
        days = pa.array([self.DAY.date()] * 3)
        pq.write_table(pa.table({"who": days, "ok": [True] * 3}), tmp_path / "a.parquet")
        pq.write_table(pa.table({"who": days.cast(two), "ok": [True] * 3}), tmp_path / "b.parquet")
        with pytest.raises(DataError) as streamed:
            list(scan(tmp_path, self.SCHEMA))
        with pytest.raises(DataError) as clustered:
            find(tmp_path, self.SCHEMA, spark)
        with pytest.raises(DataError) as remote:
            find(f"file://{tmp_path}", self.SCHEMA, spark)
        assert [e.value.code for e in (streamed, clustered, remote)] == ["DPS-D129", "DPS-D187", "DPS-D187"]
        if two == pa.timestamp("us"):
            table = read_table(tmp_path, self.SCHEMA)
            assert table.unit_labels is not None
            assert table.unit_labels.tolist() == ["2024-01-05"]
        else:
            with pytest.raises(DataError, match="one person would count as two"):
                read_table(tmp_path, self.SCHEMA)

    def test_a_union_of_types(self, spark: Any) -> None:
        """Spark makes one type of them before we see a row."""
        days = spark.createDataFrame([(self.DAY.date(), True)] * 3, "who date, ok boolean")
        for kind in ("timestamp_ntz", "timestamp"):
            whole = days.unionByName(days.selectExpr(f"cast(who as {kind}) who", "ok"))
            taken = there(whole, self.SCHEMA, spark, holdout=0.0)
            assert taken.engine.unit_sizes().tolist() == [1], kind

    def test_moments_of_several_zones(self, zone: str, spark: Any, tmp_path: Path) -> None:
        moments = pa.array([self.DAY], pa.timestamp("us", "UTC"))
        for name, kind in (("a", "UTC"), ("b", "Asia/Tokyo")):
            kinds = pa.timestamp("us", kind)
            pq.write_table(pa.table({"who": moments.cast(kinds), "ok": [True]}), tmp_path / f"{name}.parquet")
        frame = spark.read.parquet(str(tmp_path))
        assert there(frame, self.SCHEMA, spark, holdout=0.0).engine.unit_sizes().tolist() == [1]
        label = read_table(tmp_path, self.SCHEMA).unit_labels
        assert label is not None
        assert label.tolist() == ["2024-01-05 00:00:00Z"]


def test_ids_that_a_frame_turned_into_floats(spark: Any) -> None:
    frame = pd.DataFrame({"who": [1.0, 2.0, 1.0, 2.5], "ok": True})
    taken = there(spark.createDataFrame(frame), TestAPersonHasOneName.SCHEMA, spark, holdout=0.0)
    assert taken.engine.unit_sizes().tolist() == [3]
