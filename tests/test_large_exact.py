"""Made-up tables, streamed and in memory: the same units, bounds, hold-out, encodings, discoveries and counts."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import parquet_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth import discovering
from dpsynth.columns import CategoryColumn, IntegerColumn, NumberColumn
from dpsynth.discovery import public_scale, with_bounds, with_values
from dpsynth.encoding import Encoding
from dpsynth.engines import spooled
from dpsynth.entropy import Stream
from dpsynth.errors import CapacityError, DataError
from dpsynth.privacy import intake as intakes
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.stream_intake import Rules, StreamIntake, take_in_stream
from dpsynth.schema import Schema
from dpsynth.synthesis import unit_keys
from dpsynth.table import Table, read_table
from dpsynth.table.scanning import scan

TOWNS = ["Zürich", "007", "7", 'naïve, "quoted"', "日本", "e\u0301", "é"]
COLUMNS: dict[str, Any] = {
    "person": {"type": "id"},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10, "missing": True, "special": [-9]},
    "town": {"type": "category", "values": [*TOWNS, "never seen"], "missing": True},
    "paid": {"type": "number", "min": 0, "max": 10, "cells": 10, "decimals": 2, "missing": True},
    "born": {"type": "date", "min": "1990-01-01", "max": "2009-12-31", "cells": 20},
    "seen": {"type": "datetime", "min": "2020-01-01T00:00", "max": "2020-12-31T23:59", "cells": 12,
             "timezone": "Europe/Paris"},
    "plan": {"type": "category", "discover": {"max_values": 9}, "missing": True},
    "size": {"type": "integer", "min": -500, "max": 500, "cells": 9, "discover": "bounds", "special": [-99],
             "missing": True},
    "cost": {"type": "number", "min": -500, "max": 500, "cells": 9, "discover": "bounds", "decimals": 1},
}  # fmt: skip
OPEN = ("plan", "size", "cost")

row = st.fixed_dictionaries({
    "person": st.sampled_from(["a", "A", "ä", "日", "1", "01", " 1", "?", ""]),
    "age": st.sampled_from(["0", "9", "10", "99", "-9", "?"]) | st.integers(0, 99).map(str),
    "town": st.sampled_from([*TOWNS, "?"]),
    "paid": st.sampled_from(["0", "0.0", "0.99", "1", "1.00", "9.99", "10", "?"])
    | st.integers(0, 1000).map(lambda n: f"{n / 100:.2f}"),
    "born": st.sampled_from(["1990-01-01", "1990-12-31", "1991-01-01", "2000-02-29", "2009-12-31"]),
    # summer time begins and ends, and the year does elsewhere
    "seen": st.sampled_from(["2020-01-01T00:00:00+0100", "2019-12-31T23:30:00+0000", "2020-03-29T01:00:00+0000",
                             "2020-10-25T00:30:00+0000", "2020-10-25T01:30:00+0000", "2020-12-31T23:59:00+0100"]),
    "plan": st.sampled_from(["A", "B", "Ä", "\U0001f600", "?", "with, comma"]),
    "size": st.sampled_from(["-500", "-1", "0", "1", "500", "-99", "?"]) | st.integers(-500, 500).map(str),
    "cost": st.sampled_from(["-500.0", "-0.1", "0", "0.1", "500"]) | st.integers(-5000, 5000).map(lambda n: f"{n / 10:.1f}"),
})  # fmt: skip
tables = st.lists(row, min_size=1, max_size=40)


def schema_of(bound: int | None) -> Schema:
    unit = {"entity": "person", "column": "person", "rows_per_unit": bound, "missing": "own"}
    return Schema(columns=COLUMNS, unit={"entity": "row"} if bound is None else unit, missing_values=["?"])


def written(rows: list[dict[str, str]], folder: Path) -> Path:
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        out.writeheader()
        out.writerows(rows)
    return path


def both(path: Path, schema: Schema, rows: int) -> tuple[Table, Intake, StreamIntake]:
    """In memory and streamed in batches of so many rows, with one run key."""
    table = read_table(path, schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intakes, "system", lambda: Stream.for_tests(b"split"))
        memory = discovering.bounded(table, unit_keys(table), holdout=0.3)
    nameless = itertools.count()
    rules = Rules(schema, 0.3, lambda part: unit_keys(part, nameless), 1000, discovering.ranked)
    if not schema.unknown:
        rules = Rules(schema, 0.3, rules.units_of, 1000)
    disk = take_in_stream(scan(path, schema, rows=rows), rules, stream=Stream.for_tests(b"split"))
    return table, memory, disk


def learnt(schema: Schema) -> Schema:
    """As some answers of the door would leave it."""
    columns = dict(schema.columns)
    plan, size, cost = (columns[name] for name in OPEN)
    assert isinstance(plan, CategoryColumn)
    assert isinstance(size, IntegerColumn)
    assert isinstance(cost, NumberColumn)
    columns["plan"] = with_values(plan, ["A", "\U0001f600", "B"], "discovered values")
    columns["size"] = with_bounds(size, -20, 200, 7, "discovered bounds")
    columns["cost"] = with_bounds(cost, -1.0, 100.0, 9, "discovered bounds")
    return schema.with_columns(columns)


@settings(max_examples=30)
@given(tables, st.sampled_from([None, 1, 2, 5]), st.integers(1, 41), st.integers(1, 9))
def test_streamed_as_in_memory(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], bound: int | None, batch: int, chunk: int
) -> None:  # fmt: skip
    schema = schema_of(bound)
    path = written(rows, tmp_path_factory.mktemp("exact"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooled, "CHUNK", chunk)
        table, memory, disk = both(path, schema, batch)
        assert disk.engine.units_with("plan") == memory.engine.units_with("plan")
        for name in ("size", "cost"):
            edges = public_scale(schema.columns[name])  # type: ignore[arg-type]
            found, expected = (engine.units_between(name, edges) for engine in (disk.engine, memory.engine))
            np.testing.assert_array_equal(found, expected)
        known = learnt(schema)
        memory = memory.recoded(Encoding(known).encode(table.under(known)))
        disk = disk.recoded(known)
        assert disk.planned == schema.domain
        assert disk.engine.domain == memory.engine.domain == known.domain
        cliques = [
            (),
            *itertools.combinations(known.domain.attributes, 1),
            *itertools.combinations(known.domain.attributes, 2),
        ]
        counts = disk.engine.marginals(cliques)
        for clique, expected in memory.engine.marginals(cliques).items():
            np.testing.assert_array_equal(counts[clique], expected, err_msg=str(clique))
        np.testing.assert_array_equal(disk.engine.unit_sizes(), memory.engine.unit_sizes())
    whole = table.under(known)
    for kept, chosen in ((disk.training, memory.training), (disk.holdout, memory.holdout)):
        assert cells(kept) == cells(whole.take(chosen))


@settings(max_examples=12)
@given(parquet_types.files, st.sampled_from([None, 1, 3]), st.integers(1, 9))
def test_files_are_read_by_their_own_types(
    tmp_path_factory: pytest.TempPathFactory, files: list[Any], bound: int | None, batch: int
) -> None:
    """float32 beside double, whole numbers beside floats, days beside moments, and nothing beside anything."""
    schema = parquet_types.schema_of(bound)
    folder = parquet_types.written(files, tmp_path_factory.mktemp("types"))
    table, memory, disk = both(folder, schema, batch)
    cliques = list(itertools.combinations(schema.domain.attributes, 2))
    counts = disk.engine.marginals(cliques)
    for clique, expected in memory.engine.marginals(cliques).items():
        np.testing.assert_array_equal(counts[clique], expected, err_msg=str(clique))
    np.testing.assert_array_equal(disk.engine.unit_sizes(), memory.engine.unit_sizes())
    for kept, chosen in ((disk.training, memory.training), (disk.holdout, memory.holdout)):
        assert cells(kept) == cells(table.take(chosen))


def cells(table: Table) -> Counter[tuple[Any, ...]]:
    records = Encoding(table.schema).encode(table).matrix().tolist()
    if table.units is None or table.unit_labels is None:
        return Counter(map(tuple, records))
    return Counter((table.unit_labels[unit], *row) for unit, row in zip(table.units, records, strict=True))


@given(tables, st.sampled_from(["town", "age", "paid", "born", "seen"]), st.integers(1, 9))
@settings(max_examples=10)
def test_what_does_not_fit_is_refused_alike(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], column: str, batch: int
) -> None:
    rows = [*rows, {**rows[0], column: "unseen"}]
    path, schema, said = written(rows, tmp_path_factory.mktemp("exact")), schema_of(2), []
    for read in (lambda: read_table(path, schema), lambda: list(scan(path, schema, rows=batch))):
        with pytest.raises(DataError) as caught:
            read()
        said.append((caught.value.code, column in caught.value.problem, "unseen" in str(caught.value)))
    assert said[0] == said[1] == (said[0][0], True, False)


def test_too_many_texts_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dpsynth.engines import unknown

    monkeypatch.setattr(unknown, "MOST_TEXTS", 3)
    rows = [dict.fromkeys(COLUMNS, "1") | {"plan": f"text {i}", "town": "7", "born": "2000-01-01",
             "seen": "2020-05-05T00:00:00+0000"} for i in range(9)]  # fmt: skip
    with pytest.raises(CapacityError, match="different texts"):
        both(written(rows, tmp_path), schema_of(None), 2)
