"""Streamed tables against the same tables in memory: the same values, units, splits and counts, whatever they come from."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpsynth import discovering
from dpsynth.encoding import Encoding
from dpsynth.entropy import Stream
from dpsynth.errors import DataError, UsageError
from dpsynth.large import fit_large_reserved, take_in_large
from dpsynth.privacy.intake import take_in
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.stream_intake import Rules, StreamIntake, take_in_stream
from dpsynth.schema import Schema
from dpsynth.synthesis import plan, unit_keys
from dpsynth.table import Table, joined, read_table
from dpsynth.table.scanning import scan

COLUMNS: dict[str, Any] = {
    "person": {"type": "id"},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10, "missing": True},
    "town": {"type": "category", "values": ["Zürich", "", "007", "naïve, \"quoted\"", "日本"]},
    "paid": {"type": "number", "min": 0, "max": 10, "cells": 10, "decimals": 2},
    "born": {"type": "date", "min": "1990-01-01", "max": "2009-12-31", "cells": 20},
    "seen": {"type": "datetime", "min": "2020-01-01T00:00", "max": "2020-12-31T23:59", "cells": 12,
             "timezone": "Europe/Paris"},
}  # fmt: skip
UNIT = {"entity": "person", "column": "person", "rows_per_unit": 2, "missing": "own"}
MARKERS = ["?"]


def schema_of(by_person: bool) -> Schema:
    return Schema(columns=COLUMNS, unit=UNIT if by_person else {"entity": "row"}, missing_values=MARKERS)


def people(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    paid = np.round(rng.uniform(0, 10, rows), 2)
    edges = [0.0, 1.0, 9.99, 10.0]  # of the grid
    paid[: len(edges)] = edges[:rows]
    days = pd.Timestamp("1990-01-01") + pd.to_timedelta(rng.integers(0, 7300, rows), unit="D")
    hours = pd.Timestamp("2020-01-02") + pd.to_timedelta(rng.integers(0, 24 * 360, rows), unit="h")
    frame = pd.DataFrame({
        "person": [f"P{n:03d}" for n in rng.integers(0, rows // 3, rows)],
        "age": [str(n) for n in rng.integers(0, 100, rows)],
        "town": rng.choice(COLUMNS["town"]["values"], rows),
        "paid": paid,
        "born": days.strftime("%Y-%m-%d"),
        "seen": hours.strftime("%Y-%m-%dT%H:%M:00+0000"),
    })  # fmt: skip
    frame.loc[::7, "age"] = "?"
    frame.loc[::11, "person"] = ""
    return frame


@pytest.fixture(params=["csv", "two csv files", "parquet", "relation"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, pd.DataFrame]:
    """A source that can be streamed, and the same rows as a frame."""
    frame = people(600)
    if request.param == "two csv files":
        frame[:250].to_csv(tmp_path / "part-1.csv", index=False)
        frame[250:].to_csv(tmp_path / "part-2.csv", index=False)
        return str(tmp_path / "part-*.csv"), frame
    if request.param == "csv":
        frame.to_csv(tmp_path / "all.csv", index=False)
        return tmp_path / "all.csv", frame
    frame.to_parquet(tmp_path / "all.parquet")
    if request.param == "parquet":
        return tmp_path / "all.parquet", frame
    return duckdb.connect().read_parquet(str(tmp_path / "all.parquet")), frame


def test_batches_hold_what_reading_the_whole_table_gives(source: tuple[Any, pd.DataFrame]) -> None:
    streamed, frame = source
    schema = schema_of(by_person=True)
    parts = list(scan(streamed, schema, rows=128))
    assert len(parts) > 3
    whole, expected = joined(parts), read_table(frame, schema)
    for name, values in expected.values.items():
        np.testing.assert_array_equal(whole.values[name], values, err_msg=name)
    for name, gone in expected.missing.items():
        np.testing.assert_array_equal(whole.missing[name], gone, err_msg=name)


def taken(parts: list[Table], schema: Schema, keep: int = 10_000, **more: Any) -> StreamIntake:
    nameless = itertools.count()
    ranked = discovering.ranked if schema.unknown else None
    rules = Rules(schema, 0.25, lambda part: unit_keys(part, nameless), keep, ranked)
    return take_in_stream(parts, rules, stream=Stream.for_tests(b"split"), **more)


@pytest.mark.parametrize("by_person", [True, False])
def test_the_split_and_the_counts_are_those_of_memory(
    source: tuple[Any, pd.DataFrame], by_person: bool
) -> None:
    streamed, frame = source
    schema = schema_of(by_person)
    table = read_table(frame, schema)
    memory = take_in(
        Encoding(schema).encode(table), unit_keys(table), rows_per_unit=schema.unit.rows_per_unit, holdout=0.25,
        stream=Stream.for_tests(b"split"),
    )  # fmt: skip
    disk = taken(list(scan(streamed, schema, rows=100)), schema)
    cliques = [("age",), ("town", "paid"), ("born", "seen"), ("age", "town", "paid")]
    expected, found = memory.engine.marginals(cliques), disk.engine.marginals(cliques)
    for clique in cliques:
        np.testing.assert_array_equal(found[clique], expected[clique])
    np.testing.assert_array_equal(disk.engine.unit_sizes(), memory.engine.unit_sizes())
    for kept, rows in ((disk.training, memory.training), (disk.holdout, memory.holdout)):
        assert _rows(kept) == _rows(table.take(rows))


def _rows(table: Table) -> Counter[tuple[Any, ...]]:
    records = Encoding(table.schema).encode(table).matrix().tolist()
    if table.units is None or table.unit_labels is None:
        return Counter(map(tuple, records))
    return Counter((table.unit_labels[unit], *row) for unit, row in zip(table.units, records, strict=True))


@pytest.mark.parametrize("by_person", [True, False])
def test_a_sample_has_whole_units_by_chance(by_person: bool) -> None:
    schema = schema_of(by_person)
    frame = people(4000)
    parts = [read_table(frame[i : i + 500], schema) for i in range(0, 4000, 500)]
    all_of_it, some = taken(parts, schema), taken(parts, schema, keep=60)
    for few, everything in ((some.training, all_of_it.training), (some.holdout, all_of_it.holdout)):
        assert not _rows(few) - _rows(everything)
        if not by_person:
            assert len(few) == 60
        else:
            assert few.units is not None
            assert len(np.unique(few.units)) == 60
            whole = _units(everything)
            assert all(whole[name] == size for name, size in _units(few).items() if name is not None)


def _units(table: Table) -> Counter[Any]:
    assert table.units is not None
    assert table.unit_labels is not None
    return Counter(table.unit_labels[unit] for unit in table.units)


def test_a_fit_behind_the_door(tmp_path: Path) -> None:
    schema = schema_of(by_person=True)
    people(2000).to_csv(tmp_path / "rows.csv", index=False)
    heard: list[str] = []
    intake = take_in_large(
        tmp_path / "rows.csv", schema, holdout=0.1, progress=lambda step, done: heard.append(step)
    )
    assert any("2,000 rows" in step for step in heard)
    preview = plan(schema, method="mst", epsilon=5.0, delta=1e-6)
    account = Ledger.in_memory(preview.budget, preview.unit)
    with account.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run:
        model, _ = fit_large_reserved(intake, schema, preview, run)
    assert account.spent().epsilon == pytest.approx(preview.certificate.epsilon)
    sample = model.sample_table(200)
    assert sample.units is not None
    assert Counter(sample.units.tolist()).most_common(1)[0][1] <= 2


class TestBadInput:
    def test_a_row_that_does_not_fit_is_named_by_its_place(self, tmp_path: Path) -> None:
        frame = people(600)
        frame.loc[411, "paid"] = 99.0
        frame.to_parquet(tmp_path / "bad.parquet")
        with pytest.raises(DataError) as caught:
            list(scan(tmp_path / "bad.parquet", schema_of(True), rows=100))
        assert "row 412" in str(caught.value)
        assert "99" not in caught.value.problem

    def test_files_that_differ(self, tmp_path: Path) -> None:
        people(30).to_parquet(tmp_path / "a.parquet")
        people(30).drop(columns="town").to_parquet(tmp_path / "b.parquet")
        with pytest.raises(DataError):
            list(scan(tmp_path, schema_of(True)))

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        people(30).to_parquet(tmp_path / "a.parquet")
        data = bytearray((tmp_path / "a.parquet").read_bytes())
        data[100:400] = bytes(300)
        (tmp_path / "a.parquet").write_bytes(data)
        with pytest.raises(DataError) as caught:
            list(scan(tmp_path / "a.parquet", schema_of(True)))
        assert "P0" not in str(caught.value)

    def test_an_empty_file(self, tmp_path: Path) -> None:
        people(0).to_csv(tmp_path / "none.csv", index=False)
        with pytest.raises(DataError, match="no rows"):
            list(scan(tmp_path / "none.csv", schema_of(True)))

    def test_a_column_too_many(self, tmp_path: Path) -> None:
        people(9).assign(more=1).to_csv(tmp_path / "more.csv", index=False)
        with pytest.raises(DataError, match="more"):
            list(scan(tmp_path / "more.csv", schema_of(True)))

    def test_what_cannot_be_streamed(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt2").write_text("age\n1\n")
        for odd in (people(3), tmp_path / "a.txt2", [], 7):
            with pytest.raises(UsageError, match="cannot be streamed"):
                list(scan(odd, schema_of(True)))


@pytest.mark.parametrize("first", [0, 1])
def test_ids_of_several_types_are_refused_where_duckdb_would_rename_them(tmp_path: Path, first: int) -> None:
    """The 5.0 of a file with gaps would be the text 5.0 beside the text 5, and one person two."""
    ids = [pa.array(["5", "6"]), pa.array([5.0, 6.0])]
    for number, which in enumerate((first, 1 - first)):
        pq.write_table(pa.table({"who": ids[which], "ok": [True, False]}), tmp_path / f"{number}.parquet")
    columns = {"who": {"type": "id"}, "ok": {"type": "boolean"}}
    declared = Schema(columns=columns, unit={"entity": "person", "column": "who", "rows_per_unit": 1})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'who' has several types") as refused:
        list(scan(tmp_path, declared))
    assert refused.value.code == "DPS-D129"
    table = read_table(tmp_path, declared)
    assert table.units is not None
    assert table.units.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("second", "code", "said"),
    [
        ({"n": pa.array([0.5, 1.0]), "k": pa.array([0, 1])}, "D112", "row [34]: not a whole number"),
        (
            {"n": pa.array(["0.5", "1"]), "k": pa.array([0, 1])},
            "D129",
            "'n' has several types: int64 in 1.parquet and string in 2.parquet",
        ),
        ({"k": pa.array([0, 1])}, "D129", "'n' is not in 2.parquet"),
        ({"n": pa.array([0, 1]), "k": pa.array([0, 1]), "m": pa.array([0, 1])}, "D103", "lacks column 'm'"),
    ],
)
def test_parquet_files_that_differ_are_refused_where_duckdb_would_round(
    tmp_path: Path, second: dict[str, pa.Array], code: str, said: str
) -> None:
    pq.write_table(pa.table({"n": pa.array([0, 1]), "k": pa.array([0, 1])}), tmp_path / "1.parquet")
    pq.write_table(pa.table(second), tmp_path / "2.parquet")
    whole = {"type": "integer", "min": 0, "max": 1}
    declared = Schema(columns={"n": whole, "k": whole})  # type: ignore[dict-item]
    with pytest.raises(DataError, match=said) as refused:
        list(scan(tmp_path, declared))
    assert refused.value.code == f"DPS-{code}"


def test_parquet_files_that_differ_harmlessly_are_one_table(tmp_path: Path) -> None:
    """Whole numbers are floats where a frame had gaps, and a part without a text has no type for them, in any order."""
    parts = [
        pa.table({"n": pa.array([10**15 - 1, 3]), "c": pa.nulls(2)}),
        pa.table({"c": pa.array(["u", None]).dictionary_encode(), "n": pa.array([10.0**15 - 2, None])}),
    ]
    columns: dict[str, Any] = {
        "n": {"type": "integer", "min": 0, "max": 10**15 - 1, "missing": True},
        "c": {"type": "category", "values": ["u"], "missing": True},
    }
    for order in (parts, parts[::-1]):
        for number, part in enumerate(order):
            pq.write_table(part, tmp_path / f"{number}.parquet")
        whole = joined(list(scan(tmp_path, Schema(columns=columns))))
        found = whole.values["n"][~whole.missing["n"]]
        assert sorted(found.tolist()) == [3, 10**15 - 2, 10**15 - 1]
        assert whole.missing["c"].sum() == 3


def test_parquet_files_without_a_value_in_a_column_fit_the_others(tmp_path: Path) -> None:
    for number, column in enumerate(({"n": pa.array([0, 1], pa.int32())}, {"n": pa.nulls(2)})):
        pq.write_table(pa.table(column), tmp_path / f"{number}.parquet")
    declared = Schema(columns={"n": {"type": "integer", "min": 0, "max": 1, "missing": True}})  # type: ignore[arg-type]
    table = joined(list(scan(tmp_path, declared)))
    assert table.missing["n"].tolist() == [False, False, True, True]


def test_times_of_day_of_any_width_are_one_column(tmp_path: Path) -> None:
    for number, kind in enumerate((pa.time32("ms"), pa.time64("us"), pa.time64("ns"))):
        milliseconds = pa.array([0, 59_999, 86_399_999], pa.int32()).cast(pa.time32("ms"))
        pq.write_table(pa.table({"at": milliseconds.cast(kind)}), tmp_path / f"{number}.parquet")
    declared = Schema(columns={"at": {"type": "time", "cells": 24}})  # type: ignore[dict-item]
    streamed, table = joined(list(scan(tmp_path, declared))), read_table(tmp_path, declared)
    assert len(table) == 9
    np.testing.assert_array_equal(streamed.values["at"], table.values["at"])


def test_csv_files_are_read_by_their_own_headers(tmp_path: Path) -> None:
    """DuckDB alone would read the columns of all of them by the places that they have in the first."""
    texts = ["who,n\n5,1\n6,1\n", "n,who\n2,5\n2,6\n"]
    whole = {"type": "integer", "min": 0, "max": 9}
    declared = Schema(
        columns={"who": {"type": "id"}, "n": whole},  # type: ignore[dict-item]
        unit={"entity": "person", "column": "who", "rows_per_unit": 2},  # type: ignore[arg-type]
    )
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.csv").write_text(text)
    table = read_table(str(tmp_path / "*.csv"), declared)
    streamed = list(scan(str(tmp_path / "*.csv"), declared))
    np.testing.assert_array_equal(joined(streamed).values["n"], table.values["n"])
    assert table.unit_labels is not None
    assert [part.unit_labels.tolist() for part in streamed] == [table.unit_labels.tolist()] * 2  # type: ignore[union-attr]
    for odd, code in (("who,N\n5,1\n", "D104"), ("5,1\n6,2\n", "D104"), ("who,n,m\n5,1,1\n", "D103")):
        (tmp_path / "1.csv").write_text(odd)
        with pytest.raises(DataError) as refused:
            next(scan(str(tmp_path / "*.csv"), declared))
        assert refused.value.code == f"DPS-{code}"


def test_nobody_prints_the_run_key_by_accident(tmp_path: Path) -> None:
    people(60).to_parquet(tmp_path / "all.parquet")
    declared = Schema(columns=COLUMNS, unit=UNIT, missing_values=MARKERS)  # type: ignore[arg-type]
    intake = take_in_large(tmp_path / "all.parquet", declared, holdout=0.1, folder=tmp_path)
    assert repr(intake.run_key) not in repr(intake)
